"""Writes log lines in a thread of its own, which takes what has gathered of them a few times a second.

A write to standard error blocks while the reader of that pipe does not read. In the thread of the event loop, such a
write would hold up every request, most of all in an outage, when each request logs a line. Nor does each line wake the
writer: the two threads take turns with one interpreter, and to change hands for a line takes longer than to write it.
"""

import atexit
import json
import logging
import threading

MAX_LINES = 4096
"""Lines that may wait to be written; further lines are dropped, and counted."""

MAX_WAITING_CHARACTERS = 4 << 20
"""Characters of the lines that may wait; a line for which there is no room is dropped, and counted."""

GATHER_S = 0.05
"""Seconds for which lines gather before they are written. One of an error's level is written at once, with all before
it: its process may be about to end. Of one that is killed without a word the other lines of so much time are lost."""


class BackgroundHandler(logging.Handler):
    """Keeps lines for a thread that writes them, and drops those for which there is no room.

    Attributes:
        dropped: lines that were dropped since `log_lines_dropped` was last logged.
        waiting: lines that are not written yet.
    """

    def __init__(self, writer: logging.Handler) -> None:
        """Have `writer` write, several lines as one record."""
        super().__init__()
        self.dropped = 0
        self._writer = writer
        self._lines: list[str] = []
        self.waiting = 0
        self._characters = 0
        self._ending = False
        self._some, self._now = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_always, name="log writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; if lines were dropped before it, first a line with their number. The lock is held."""
        try:
            self._keep(record)
        except Exception:  # noqa: BLE001 - as every handler has it: a line that cannot be formatted is told of
            self.handleError(record)

    def _keep(self, record: logging.LogRecord) -> None:
        if self.dropped:
            told = json.dumps({"level": "error", "event": "log_lines_dropped", "lines": self.dropped})
            if not self._put(told):
                self.dropped += 1
                return
            self.dropped = 0
        if not self._put(self.format(record)):
            self.dropped += 1
        elif record.levelno >= logging.ERROR:
            self._now.set()

    def end(self) -> None:
        """Wait until all lines are written. Lines that are logged from then on are not."""
        self.acquire()
        try:
            self._ending = True
            self._some.set()
            self._now.set()
        finally:
            self.release()
        self._thread.join()

    def _put(self, line: str) -> bool:
        if self.waiting >= MAX_LINES or self._characters + len(line) > MAX_WAITING_CHARACTERS:
            return False
        self.waiting += 1
        self._characters += len(line)
        self._lines.append(line)
        if len(self._lines) == 1:
            self._some.set()
        return True

    def _write_always(self) -> None:
        ending = False
        while not ending:
            self._some.wait()
            self._now.wait(GATHER_S)
            self.acquire()
            try:
                ending, lines, self._lines = self._ending, self._lines, []
                self._some.clear()
                self._now.clear()
            finally:
                self.release()
            if not lines:
                continue
            record = logging.makeLogRecord({"msg": "\n".join(lines)})
            try:
                self._writer.handle(record)
            except Exception:  # noqa: BLE001 - further lines are to be written all the same
                self.handleError(record)
            self.acquire()
            try:
                self.waiting -= len(lines)
                self._characters -= sum(map(len, lines))
            finally:
                self.release()


def write_in_background(writer: logging.Handler) -> BackgroundHandler:
    """Return a handler whose lines `writer` writes in a thread; waiting lines are written when the process ends."""
    handler = BackgroundHandler(writer)
    atexit.register(handler.end)
    return handler
