"""A log line is one JSON object that begins with when, how grave and what; it has a trace where something raised."""

import json
import logging
from typing import Any

import pytest

from deployments.observability import log
from deployments.observability.logger import logger
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import Failed, Rejected

SOURCES = log.SourceEvents()
TOLD: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "source_tried": (lambda: SOURCES.source_tried("hub a"), "info", {"source": "hub a"}),
    "source_loaded": (lambda: SOURCES.source_loaded("hub a", 1.234), "info", {"source": "hub a", "seconds": 1.23}),
    "source_failed_over": (
        lambda: SOURCES.source_failed("hub a", "gone"), "warning", {"source": "hub a", "reason": "gone"}
    ),
    "snapshot_loaded": (lambda: SOURCES.snapshot_loaded("s", 0.5), "info", {"snapshot": "s", "seconds": 0.5}),
    "snapshot_built": (
        lambda: SOURCES.snapshot_built("s", 7, 0.5), "info", {"snapshot": "s", "bytes": 7, "seconds": 0.5}
    ),
    "snapshot_set_aside": (
        lambda: SOURCES.snapshot_set_aside("s", "cut"), "error", {"snapshot": "s", "reason": "cut"}
    ),
    "snapshot_not_kept": (
        lambda: SOURCES.snapshot_not_kept("s", "full"), "error", {"snapshot": "s", "reason": "full"}
    ),
    "waiting_for_builder": (lambda: SOURCES.waiting_for_builder("s"), "info", {"snapshot": "s"}),
}  # fmt: skip
"""What `sources` tells: the line, its level and its facts."""


@pytest.mark.parametrize("event", TOLD)
def test_what_sources_do_is_told_with_its_facts(event: str, events: list[dict[str, Any]]) -> None:
    tell, level, facts = TOLD[event]

    tell()

    (line,) = events
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert {key: line[key] for key in line if key != "timestamp"} == {"level": level, "event": event, **facts}


def test_an_error_is_told_with_its_trace(events: list[dict[str, Any]]) -> None:
    try:
        int("one")
    except ValueError as error:
        log.internal_error("router", "m", error)

    (line,) = events
    assert (line["where"], line["model"]) == ("router", "m")
    assert 'int("one")' in line["exception"]
    assert line["exception"].endswith(f"ValueError: {line['reason']}\n")


@pytest.mark.parametrize(("text", "told"), [("", False), ("What is due?", True)])
def test_the_text_of_a_request_is_told_only_where_it_is_given(
    text: str, events: list[dict[str, Any]], *, told: bool
) -> None:
    answer = Answer("sorry", "last_resort", Tier.LAST_RESORT, degraded=True, attempts=())

    log.fallback(log.fallback_facts("id", "m", answer, 0.0123), text)

    (line,) = events
    assert (line["served_by"], line["asked"], line["ms"]) == ("last_resort", "m", 12.3)
    assert ("text" in line) is told


def test_whatever_is_in_a_line_has_a_bound(events: list[dict[str, Any]]) -> None:
    failed = Failed("x" * 10**6, log_reason="")
    trace = (Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 1.0, failed),)
    answer = Answer("sorry", "last_resort", Tier.LAST_RESORT, degraded=True, attempts=trace)

    log.fallback(log.fallback_facts("id", "m", answer, 0.0123, quotes=True), "x" * 10**6)
    log.internal_error("router", "m", ValueError("x" * 10**6))
    log.discovery_failed("x" * 10**6)

    assert len(events) == 3
    assert max(len(json.dumps(line)) for line in events) < 20_000
    assert events[1]["exception"].startswith("\u2026")


@pytest.mark.parametrize("quotes", [False, True])
def test_a_model_is_quoted_in_a_fallback_only_where_content_may_be_logged(
    events: list[dict[str, Any]], *, quotes: bool
) -> None:
    outcomes = (Failed("ValueError: my secret", log_reason="ValueError in infer"), Rejected("my secret", "text"))
    trace = tuple(Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 1.0, outcome) for outcome in outcomes)
    answer = Answer("sorry", "last_resort", Tier.LAST_RESORT, degraded=True, attempts=trace)

    log.fallback(log.fallback_facts("id", "m", answer, 0.0123, quotes=quotes), "")

    (line,) = events
    told = ["ValueError in infer", "the model calls text invalid"]
    assert [each["reason"] for each in line["attempts"]] == ([each.reason for each in outcomes] if quotes else told)
    assert [each["reason"] for each in answer.to_json("id")["attempts"]] == [each.reason for each in outcomes]


def test_a_line_is_json_on_one_line() -> None:
    logger()  # sets the logger up once, before it has a handler of ours
    written: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())

    own, handler = logging.getLogger("neverblank"), Lines()
    own.addHandler(handler)
    try:
        log.discovery_failed("two\nlines")
    finally:
        own.removeHandler(handler)

    (line,) = written
    assert "\n" not in line
    assert json.loads(line)["reason"] == "two\nlines"
