"""What is counted reaches Ray once, and takes no more room when nobody takes it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.observability.metrics import MAX_DURATIONS, answered, drain_counts, turned_away
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Refused
from deployments.ray_serve import metrics

PRIMARY = Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 0.1, Answered("x"))
UNKNOWN = Ended(Candidate(Tier.PRIMARY, "whatever a caller wrote"), 0.0, 0.0, Refused(UNKNOWN_MODEL))


class Exported:
    """Stands for one of Ray's metrics, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, str]]] = []

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        assert value > 0, "Ray refuses to add nothing"
        self.told.append((value, tags or {}))

    observe = inc


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Exported]]:
    drain_counts()
    kinds = {name: Exported() for name in ("_answers", "_answer_seconds", "_attempts", "_turned_away", "_without_time")}
    for name, kind in kinds.items():
        monkeypatch.setattr(metrics, name, lambda kind=kind: kind)
    yield kinds
    drain_counts()


def answer(*attempts: Ended) -> Answer:
    return Answer("x", "m", Tier.PRIMARY, degraded=False, attempts=attempts)


def test_an_answer_is_exported_once_with_its_time_and_its_attempts(exported: dict[str, Exported]) -> None:
    answered(answer(PRIMARY), 0.25)
    answered(answer(PRIMARY), 0.5)
    turned_away()
    metrics.flush()
    metrics.flush()

    assert exported["_answers"].told == [(2, {"served_by": "primary", "model": "m", "degraded": "false"})]
    assert exported["_answer_seconds"].told == [(0.25, {"served_by": "primary"}), (0.5, {"served_by": "primary"})]
    assert exported["_attempts"].told == [(2, {"model": "m", "outcome": "answered", "why": "next"})]
    assert exported["_turned_away"].told == [(1, {})]
    assert exported["_without_time"].told == []


def test_a_name_that_no_model_has_counts_as_unknown(exported: dict[str, Exported]) -> None:
    answered(answer(UNKNOWN), 0.25)
    metrics.flush()

    ((_, tags),) = exported["_attempts"].told
    assert tags["model"] == "unknown"


def test_counts_that_nobody_takes_forget_the_oldest_times_and_say_how_many(exported: dict[str, Exported]) -> None:
    for n in range(MAX_DURATIONS + 3):
        answered(answer(), float(n + 1))
    metrics.flush()

    assert [seconds for seconds, _ in exported["_answer_seconds"].told][:1] == [4.0]
    assert len(exported["_answer_seconds"].told) == MAX_DURATIONS
    assert exported["_answers"].told[0][0] == MAX_DURATIONS + 3
    assert exported["_without_time"].told == [(3, {})]


@pytest.mark.looptime
async def test_counts_are_exported_every_second_and_once_more_at_the_end(exported: dict[str, Exported]) -> None:
    flushing: asyncio.Task[Any] = asyncio.ensure_future(metrics.flush_forever())
    turned_away()
    await asyncio.sleep(1.5 * metrics.FLUSH_S)
    assert len(exported["_turned_away"].told) == 1

    turned_away()
    flushing.cancel()
    await asyncio.wait({flushing})

    assert len(exported["_turned_away"].told) == 2
