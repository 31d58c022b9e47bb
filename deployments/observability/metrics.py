"""The service's own metrics, exported by Ray for Prometheus beside Serve's (`ray_neverblank_...`).

    neverblank_answers_total           answers, by `served_by`, `model`, `degraded`
    neverblank_answer_seconds          until the answer was complete, by `served_by`
    neverblank_attempts_total          attempts, by `model`, `outcome`, `why`
    neverblank_turned_away_total       requests answered unread, as there were too many

Names of models come from those that have answered or were asked, which callers choose: a name that no model goes by
counts as `unknown`, so that nobody can fill the memory with names of their own.
"""

import asyncio
from collections import Counter
from functools import cache
from typing import Any

from ray.util import metrics as ray

from deployments.policy.answer import Answer
from deployments.policy.outcome import UNKNOWN_MODEL

FLUSH_S = 1.0

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]


@cache
def _answers() -> Any:
    return ray.Counter("neverblank_answers_total", "Answers given.", ("served_by", "model", "degraded"))


@cache
def _seconds() -> Any:
    return ray.Histogram("neverblank_answer_seconds", "Until an answer was complete.", _SECONDS, ("served_by",))


@cache
def _attempts() -> Any:
    return ray.Counter("neverblank_attempts_total", "Attempts made.", ("model", "outcome", "why"))


@cache
def _turned_away() -> Any:
    return ray.Counter("neverblank_turned_away_total", "Requests answered unread, as there were too many.")


_given: Counter[tuple[str, str, str]] = Counter()
_made: Counter[tuple[str, str, str]] = Counter()
_refused: Counter[tuple[()]] = Counter()
_took: list[tuple[str, float]] = []
"""What there has been since the last `flush`. To tell one of Ray's metrics takes ten times as long, and on the request
path, where it finds cold caches, as long again."""


def answered(answer: Answer, seconds: float) -> None:
    """An answer was given, `seconds` after its request had arrived."""
    tier = answer.served_by.value
    _given[tier, answer.model, "true" if answer.degraded else "false"] += 1
    _took.append((tier, seconds))
    for attempt in answer.attempts:
        model = "unknown" if attempt.outcome.reason == UNKNOWN_MODEL else attempt.candidate.model
        _made[model, attempt.outcome.name, attempt.why.value] += 1


def turned_away() -> None:
    """A request was answered unread."""
    _refused[()] += 1


async def flush_forever() -> None:
    """Hand over what has been counted, every `FLUSH_S` seconds, and once more at the end."""
    try:
        while True:
            await asyncio.sleep(FLUSH_S)
            flush()
    finally:
        flush()


def flush() -> None:
    """Hand over what has been counted."""
    for counted, counter, keys in (
        (_given, _answers(), ("served_by", "model", "degraded")),
        (_made, _attempts(), ("model", "outcome", "why")),
        (_refused, _turned_away(), ()),
    ):
        for values, count in counted.items():
            counter.inc(count, tags=dict(zip(keys, values, strict=True)))
        counted.clear()
    histogram = _seconds()
    for tier, seconds in _took:
        histogram.observe(seconds, tags={"served_by": tier})
    _took.clear()
