"""Log lines leave through a bounded queue: whoever logs never waits, and what was dropped is told."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from deployments.observability import log_writer
from deployments.observability.log_writer import MAX_LINES, MAX_WAITING_CHARACTERS, write_in_background


class Stuck(logging.Handler):
    """Writes nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.lines: list[str] = []
        self.writes = 0
        self.fails = False

    def emit(self, record: logging.LogRecord) -> None:
        self.reached.set()
        self.let_go.wait()
        if self.fails:
            raise OSError("it cannot write")
        self.writes += 1
        self.lines += record.getMessage().split("\n")


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.let_go.set()  # whatever has become of the test: its thread is waited for when the process ends


def a_record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": level})


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("ten seconds were not enough")


def test_a_writer_that_is_stuck_holds_nobody_up_and_what_was_dropped_is_told(stuck: Stuck) -> None:
    handler = write_in_background(stuck)
    handler.handle(a_record("first"))
    assert stuck.reached.wait(10.0)

    for number in range(MAX_LINES - 1 + 7):  # the one that is being written counts, too
        handler.handle(a_record(str(number)))
    assert handler.dropped == 7

    stuck.let_go.set()
    wait_until(lambda: len(stuck.lines) == MAX_LINES)
    wait_until(lambda: handler.waiting == 0)
    handler.handle(a_record("after"))
    wait_until(lambda: len(stuck.lines) == MAX_LINES + 2)
    assert json.loads(stuck.lines[-2])["lines"] == 7
    assert stuck.lines[-1] == "after"


def test_long_lines_wait_in_no_more_memory_than_short_ones(stuck: Stuck) -> None:
    handler = write_in_background(stuck)
    handler.handle(a_record("first"))
    assert stuck.reached.wait(10.0)

    long = "x" * (MAX_WAITING_CHARACTERS // 10)
    for _ in range(12):
        handler.handle(a_record(long))

    stuck.let_go.set()
    wait_until(lambda: handler.waiting == 0)
    assert stuck.lines.count(long) == 9
    assert sum(map(len, stuck.lines)) <= MAX_WAITING_CHARACTERS
    handler.handle(a_record("after"))
    wait_until(lambda: handler.waiting == 0)
    assert stuck.lines[-1] == "after", "there is room again"


def test_lines_of_a_burst_are_written_together_and_in_their_order(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "GATHER_S", 3600.0)
    stuck.let_go.set()
    handler = write_in_background(stuck)
    for number in range(100):
        handler.handle(a_record(str(number)))
    handler.handle(a_record("an error", logging.ERROR))
    wait_until(lambda: handler.waiting == 0)
    assert stuck.lines == [*map(str, range(100)), "an error"]
    assert stuck.writes == 1


def test_an_error_is_written_at_once_with_all_that_was_logged_before_it(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "GATHER_S", 3600.0)
    stuck.let_go.set()
    handler = write_in_background(stuck)
    handler.handle(a_record("before"))
    handler.handle(a_record("an error", logging.ERROR))
    wait_until(lambda: len(stuck.lines) == 2)
    assert stuck.lines == ["before", "an error"]


def test_what_waits_is_written_when_the_process_ends() -> None:
    code = "from deployments.observability.logger import logger; logger().warning('last words')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "last words"


def test_a_line_that_cannot_be_formatted_or_written_costs_no_other(
    stuck: Stuck, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = write_in_background(stuck)
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    stuck.fails = True
    stuck.let_go.set()
    handler.handle(a_record("lost"))
    wait_until(lambda: handler.waiting == 0)
    stuck.fails = False
    handler.handle(a_record("after"))
    wait_until(lambda: handler.waiting == 0)
    assert stuck.lines == ["after"]
    assert "it cannot write" in capsys.readouterr().err
