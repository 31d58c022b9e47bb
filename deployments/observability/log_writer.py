"""Writes log lines in a thread of its own, which takes them from a bounded queue.

A write to standard error blocks while the reader of that pipe does not read. In the thread of the event loop, such a
write would hold up every request, most of all in an outage, when each request logs a line.
"""

import atexit
import json
import logging
import queue
from logging.handlers import QueueHandler, QueueListener

MAX_LINES = 4096
"""Lines that may wait to be written; further lines are dropped, and counted."""


class BoundedQueueHandler(QueueHandler):
    """Puts lines into a queue, and drops those for which there is no room.

    Attributes:
        dropped: lines that were dropped since `log_lines_dropped` was last logged.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord]") -> None:
        """Put lines into `lines`."""
        super().__init__(lines)
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put one line into the queue; if lines were dropped before it, first a line with their number."""
        try:
            if self.dropped:
                told = json.dumps({"level": "error", "event": "log_lines_dropped", "lines": self.dropped})
                self.queue.put_nowait(logging.makeLogRecord({"msg": told, "levelno": logging.ERROR}))
                self.dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


def write_in_background(handler: logging.Handler) -> BoundedQueueHandler:
    """Return a handler whose lines `handler` writes in a thread; waiting lines are written when the process ends."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_LINES)
    listener = QueueListener(lines, handler)
    listener.start()
    atexit.register(listener.stop)
    return BoundedQueueHandler(lines)
