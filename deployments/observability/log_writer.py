"""Writes log lines in a thread of its own, which takes them from a bounded queue.

A write to standard error blocks while the reader of that pipe does not read. In the thread of the event loop, such a
write would hold up every request, most of all in an outage, when each request logs a line.
"""

import atexit
import json
import logging
import queue
import threading
from logging.handlers import QueueHandler, QueueListener

MAX_LINES = 4096
"""Lines that may wait to be written; further lines are dropped, and counted."""

MAX_WAITING_CHARACTERS = 4 << 20
"""Characters of the lines that may wait; a line for which there is no room is dropped, and counted."""


class BoundedQueueHandler(QueueHandler):
    """Puts lines into a queue, and drops those for which there is no room.

    Attributes:
        dropped: lines that were dropped since `log_lines_dropped` was last logged.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord]") -> None:
        """Put lines into `lines`, which needs no bound of its own."""
        super().__init__(lines)
        self.dropped = 0
        self._counting = threading.Lock()
        self._waiting = 0
        self._characters = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put one line into the queue; if lines were dropped before it, first a line with their number."""
        if self.dropped:
            told = json.dumps({"level": "error", "event": "log_lines_dropped", "lines": self.dropped})
            if not self._put(logging.makeLogRecord({"msg": told, "levelno": logging.ERROR})):
                self.dropped += 1
                return
            self.dropped = 0
        if not self._put(record):
            self.dropped += 1

    def taken(self, record: logging.LogRecord) -> None:
        """Note that `record` waits no more. Called by the thread that writes."""
        with self._counting:
            self._waiting -= 1
            self._characters -= len(record.getMessage())

    def _put(self, record: logging.LogRecord) -> bool:
        characters = len(record.getMessage())
        with self._counting:
            if self._waiting >= MAX_LINES or self._characters + characters > MAX_WAITING_CHARACTERS:
                return False
            self._waiting += 1
            self._characters += characters
        self.queue.put_nowait(record)
        return True


class _Listener(QueueListener):
    """Writes the lines that `source` has put into its queue."""

    def __init__(self, source: BoundedQueueHandler, handler: logging.Handler) -> None:
        super().__init__(source.queue, handler)
        self._source = source

    def handle(self, record: logging.LogRecord) -> None:
        self._source.taken(record)
        super().handle(record)


def write_in_background(handler: logging.Handler) -> BoundedQueueHandler:
    """Return a handler whose lines `handler` writes in a thread; waiting lines are written when the process ends."""
    source = BoundedQueueHandler(queue.Queue())
    listener = _Listener(source, handler)
    listener.start()
    atexit.register(listener.stop)
    return source
