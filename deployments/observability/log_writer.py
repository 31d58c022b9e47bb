"""Log lines on their way out: from any thread through a bounded queue to one that writes.

A write to standard error blocks for as long as whoever reads it does not. Done by an event loop, as it was, an outage
that logs a line for each request would hold up every request.
"""

import atexit
import json
import logging
import queue
from logging.handlers import QueueHandler, QueueListener

MAX_LINES = 4096
"""Lines that may wait to be written; those beyond are dropped, and counted."""


class BoundedQueueHandler(QueueHandler):
    """Puts lines into a queue, and never waits for room.

    Attributes:
        dropped: lines there was no room for since that was last told.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord]") -> None:
        """Put lines into `lines`."""
        super().__init__(lines)
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put one line; behind lines that were dropped, first one that says how many."""
        try:
            if self.dropped:
                told = json.dumps({"level": "error", "event": "log_lines_dropped", "lines": self.dropped})
                self.queue.put_nowait(logging.makeLogRecord({"msg": told, "levelno": logging.ERROR}))
                self.dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


def write_in_background(handler: logging.Handler) -> BoundedQueueHandler:
    """A handler whose lines `handler` writes, in a thread. What waits when the process ends is written before."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_LINES)
    listener = QueueListener(lines, handler)
    listener.start()
    atexit.register(listener.stop)
    return BoundedQueueHandler(lines)
