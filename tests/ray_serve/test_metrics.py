"""What is counted reaches Ray once, and takes no more room when nobody takes it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.observability import metric_table as table
from deployments.observability.metric_table import METRICS, Metric
from deployments.observability.metrics import MAX_DURATIONS, abandoned, answered, drain_counts, turned_away
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier, Why
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Failed, Refused, Rejected, Usage
from deployments.ray_serve import metrics

PRIMARY = Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 0.1, Answered("x"))
BROKEN = Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 0.1, Failed("it broke"))
BACKUP = Ended(Candidate(Tier.BACKUP, "backup"), 0.1, 0.2, Answered("x"))
NAMED = Candidate(Tier.PRIMARY, "whatever a caller wrote")


class Exported:
    """Stands for one of Ray's metrics, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, tuple[str, ...]]] = []

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0, "Ray refuses to add nothing"
        self.told.append((value, tuple(tags.values())))

    def observe(self, value: float, tags: dict[str, str]) -> None:
        self.told.append((value, tuple(tags.values())))

    set = observe


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Metric, Exported]]:
    drain_counts()
    kinds = {metric: Exported() for metric in METRICS}
    monkeypatch.setattr(metrics, "exported", kinds.__getitem__)
    yield kinds
    drain_counts()


def answer(*attempts: Ended, **more: Any) -> Answer:
    return Answer("x", "m", Tier.PRIMARY, degraded=False, attempts=attempts, **more)


def count(given: Answer, seconds: float = 0.25) -> None:
    answered(given, seconds, {"m", "backup"}.__contains__, 1.0)


def test_an_answer_is_exported_once_with_its_time_and_its_attempts(exported: dict[Metric, Exported]) -> None:
    count(answer(PRIMARY), 0.25)
    count(answer(PRIMARY), 0.5)
    turned_away()
    metrics.flush()
    metrics.flush()

    assert exported[table.ANSWERS].told == [(2, ("primary", "m", "false"))]
    assert exported[table.ANSWER_SECONDS].told == [(0.25, ("primary",)), (0.5, ("primary",))]
    assert exported[table.ATTEMPTS].told == [(2, ("m", "answered", "next"))]
    assert exported[table.TURNED_AWAY].told == [(1, ())]
    assert exported[table.WITHOUT_TIME].told == exported[table.SWITCHES].told == exported[table.LATE_ANSWERS].told == []


def test_tokens_and_late_answers_are_counted(exported: dict[Metric, Exported]) -> None:
    count(answer(PRIMARY, usage=Usage(3, 5)), 1.5)
    metrics.flush()

    assert exported[table.TOKENS].told == [(3, ("m", "input")), (5, ("m", "output"))]
    assert exported[table.LATE_ANSWERS].told == [(1, ("primary",))]


def test_each_attempt_behind_the_first_tells_from_whom_to_whom_and_for_what(exported: dict[Metric, Exported]) -> None:
    retried = Ended(BROKEN.candidate, 0.0, 0.1, Failed("again"), Why.RETRY)
    count(answer(BROKEN, retried, BACKUP))
    metrics.flush()

    assert exported[table.SWITCHES].told == [(1, ("m", "m", "retry")), (1, ("m", "backup", "failed"))]


@pytest.mark.parametrize(
    "outcome", [Refused(UNKNOWN_MODEL), Refused("not ready"), Rejected("no such field", "x"), Failed("it broke")]
)
def test_a_name_that_nobody_serves_counts_as_unknown_however_its_attempt_ended(
    exported: dict[Metric, Exported], outcome: Any
) -> None:
    count(answer(Ended(NAMED, 0.0, 0.0, outcome), BACKUP))
    metrics.flush()

    assert exported[table.ATTEMPTS].told[0][1][0] == "unknown"
    assert exported[table.SWITCHES].told[0][1][0] == "unknown"
    assert NAMED.model not in str([kind.told for kind in exported.values()])


def test_counts_that_nobody_takes_forget_the_oldest_times_and_say_how_many(exported: dict[Metric, Exported]) -> None:
    for n in range(MAX_DURATIONS + 3):
        count(answer(), float(n + 1))
    metrics.flush()

    assert [seconds for seconds, _ in exported[table.ANSWER_SECONDS].told][:1] == [4.0]
    assert len(exported[table.ANSWER_SECONDS].told) == MAX_DURATIONS
    assert exported[table.ANSWERS].told[0][0] == MAX_DURATIONS + 3
    assert exported[table.WITHOUT_TIME].told == [(3, ())]


@pytest.mark.looptime
async def test_counts_are_exported_every_second_and_once_more_at_the_end_and_gauges_more_seldom(
    exported: dict[Metric, Exported],
) -> None:
    gauge = (table.REQUESTS_WAITING, (), 4.0)
    flushing: asyncio.Task[Any] = asyncio.ensure_future(metrics.flush_forever(lambda: [gauge]))
    turned_away()
    await asyncio.sleep(1.5 * metrics.FLUSH_S)
    begins = exported[table.TURNED_AWAY].told.pop(0)[0]
    assert begins == pytest.approx(0, abs=1e-3), "a series that begins with its first event hides it from Prometheus"
    assert len(exported[table.TURNED_AWAY].told) == 1
    await asyncio.sleep(metrics.GAUGES_S)

    turned_away()
    flushing.cancel()
    await asyncio.wait({flushing})

    assert len(exported[table.TURNED_AWAY].told) == 2
    assert exported[table.REQUESTS_WAITING].told == [(4.0, ())] * 2


def test_each_metric_is_exported_under_its_own_name_with_its_labels() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metrics.exported(metric).info["name"] == metric.name
        assert metrics.exported(metric).info["tag_keys"] == metric.labels


def test_a_caller_that_left_is_exported_with_the_time_that_it_has_cost(exported: dict[Metric, Exported]) -> None:
    abandoned(2.5)
    abandoned(0.0)
    metrics.flush()
    metrics.flush()

    assert exported[table.ABANDONED].told == [(2, ())]
    assert exported[table.ABANDONED_SECONDS].told == [(2.5, ())]
