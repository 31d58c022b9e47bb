"""What is counted reaches Ray once, and takes no more room when nobody takes it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.observability.metrics import MAX_DURATIONS, abandoned, answered, drain_counts, turned_away
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Refused
from deployments.ray_serve import metrics

PRIMARY = Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 0.1, Answered("x"))
UNKNOWN = Ended(Candidate(Tier.PRIMARY, "whatever a caller wrote"), 0.0, 0.0, Refused(UNKNOWN_MODEL))


KINDS = (
    "_answers", "_answer_seconds", "_attempts", "_turned_away", "_abandoned", "_abandoned_seconds", "_without_time"
)  # fmt: skip


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
    kinds = {name: Exported() for name in KINDS}
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


def test_each_count_is_exported_under_its_own_name_with_its_tags() -> None:
    metrics_of_rays = [
        metrics._answers(), metrics._answer_seconds(), metrics._attempts(), metrics._turned_away(),
        metrics._abandoned(), metrics._abandoned_seconds(), metrics._without_time(),
    ]  # fmt: skip

    assert {metric.info["name"]: metric.info["tag_keys"] for metric in metrics_of_rays} == {
        "neverblank_answers_total": ("served_by", "model", "degraded"),
        "neverblank_answer_seconds": ("served_by",),
        "neverblank_attempts_total": ("model", "outcome", "why"),
        "neverblank_turned_away_total": (),
        "neverblank_abandoned_total": (),
        "neverblank_abandoned_seconds_total": (),
        "neverblank_answers_without_time_total": (),
    }


def test_a_caller_that_left_is_exported_with_the_time_that_it_has_cost(exported: dict[str, Exported]) -> None:
    abandoned(2.5)
    abandoned(0.0)
    metrics.flush()
    metrics.flush()

    assert exported["_abandoned"].told == [(2, {})]
    assert exported["_abandoned_seconds"].told == [(2.5, {})]
