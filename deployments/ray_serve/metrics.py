"""Exports the service's own metrics through Ray, for Prometheus, beside Serve's (`ray_neverblank_...`).

neverblank_answers_total                answers, by `served_by`, `model`, `degraded`
neverblank_answer_seconds               until the answer was complete, by `served_by`
neverblank_attempts_total               attempts, by `model`, `outcome`, `why`
neverblank_turned_away_total            requests answered unread, as there were too many
neverblank_abandoned_total              requests whose callers left before they were answered
neverblank_abandoned_seconds_total      the time that was spent on those
neverblank_answers_without_time_total   answers that `neverblank_answer_seconds` lacks, as the export was late
"""

import asyncio
from functools import cache
from typing import Any

from ray.util import metrics as ray_metrics

from deployments.observability.metrics import drain_counts

FLUSH_S = 1.0

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
_LEAST_S = 1e-6  # a counter of Ray's takes nothing that is not above 0
_ANSWER_TAGS = ("served_by", "model", "degraded")
_ATTEMPT_TAGS = ("model", "outcome", "why")


async def flush_forever() -> None:
    """Export what has been counted, every `FLUSH_S` seconds, and once more at the end."""
    try:
        while True:
            await asyncio.sleep(FLUSH_S)
            flush()
    finally:
        flush()


def flush() -> None:
    """Export what has been counted since the last time."""
    counts = drain_counts()
    for values, count in counts.answers.items():
        _answers().inc(count, tags=dict(zip(_ANSWER_TAGS, values, strict=True)))
    for values, count in counts.attempts.items():
        _attempts().inc(count, tags=dict(zip(_ATTEMPT_TAGS, values, strict=True)))
    for tier, seconds in counts.durations:
        _answer_seconds().observe(seconds, tags={"served_by": tier})
    if counts.turned_away:
        _turned_away().inc(counts.turned_away)
    if counts.abandoned:
        _abandoned().inc(counts.abandoned)
        _abandoned_seconds().inc(max(counts.abandoned_seconds, _LEAST_S))
    if counts.forgotten:
        _without_time().inc(counts.forgotten)


# Each is made when it is first used, so that to import this module registers nothing with Ray.
@cache
def _answers() -> Any:
    return ray_metrics.Counter("neverblank_answers_total", "Answers given.", _ANSWER_TAGS)


@cache
def _answer_seconds() -> Any:
    return ray_metrics.Histogram("neverblank_answer_seconds", "Until an answer was complete.", _SECONDS, ("served_by",))


@cache
def _attempts() -> Any:
    return ray_metrics.Counter("neverblank_attempts_total", "Attempts made.", _ATTEMPT_TAGS)


@cache
def _turned_away() -> Any:
    return ray_metrics.Counter("neverblank_turned_away_total", "Requests answered unread, as there were too many.")


@cache
def _abandoned() -> Any:
    return ray_metrics.Counter("neverblank_abandoned_total", "Requests whose callers left before they were answered.")


@cache
def _abandoned_seconds() -> Any:
    return ray_metrics.Counter("neverblank_abandoned_seconds_total", "Time spent on requests whose callers left.")


@cache
def _without_time() -> Any:
    return ray_metrics.Counter("neverblank_answers_without_time_total", "Answers whose time was not exported.")
