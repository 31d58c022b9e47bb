"""Log lines leave through a bounded queue: whoever logs never waits, and what was dropped is told."""

import json
import logging
import threading

from deployments.observability.log_writer import MAX_LINES, MAX_WAITING_CHARACTERS, write_in_background


class Stuck(logging.Handler):
    """Writes nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.reached.set()
        self.let_go.wait()
        self.lines.append(record.getMessage())


def a_record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": logging.WARNING})


def test_a_writer_that_is_stuck_holds_nobody_up_and_what_was_dropped_is_told() -> None:
    stuck = Stuck()
    handler = write_in_background(stuck)
    handler.handle(a_record("first"))
    assert stuck.reached.wait(10.0)

    for number in range(MAX_LINES + 7):  # with one of them in its hands, the writer has room for so many
        handler.handle(a_record(str(number)))
    assert handler.dropped == 7

    stuck.let_go.set()
    while len(stuck.lines) < MAX_LINES + 1:
        assert threading.Event().wait(0.01) is False
    handler.handle(a_record("after"))
    while len(stuck.lines) < MAX_LINES + 3:
        assert threading.Event().wait(0.01) is False
    assert json.loads(stuck.lines[-2])["lines"] == 7
    assert stuck.lines[-1] == "after"


def test_long_lines_wait_in_no_more_memory_than_short_ones() -> None:
    stuck = Stuck()
    handler = write_in_background(stuck)
    handler.handle(a_record("first"))
    assert stuck.reached.wait(10.0)

    for _ in range(12):
        handler.handle(a_record("x" * (MAX_WAITING_CHARACTERS // 10)))
    assert handler.dropped == 2

    stuck.let_go.set()
    while len(stuck.lines) < 11:
        assert threading.Event().wait(0.01) is False
    handler.handle(a_record("after"))
    while len(stuck.lines) < 13:
        assert threading.Event().wait(0.01) is False
    assert stuck.lines[-1] == "after", "there is room again"
