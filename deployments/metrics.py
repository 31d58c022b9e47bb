"""The service's own metrics, exported by Ray for Prometheus beside Serve's (`ray_neverblank_...`).

    neverblank_answers_total           answers, by `served_by`, `model`, `degraded`
    neverblank_answer_seconds          until the answer was complete, by `served_by`
    neverblank_attempts_total          attempts, by `model`, `outcome`, `why`
    neverblank_turned_away_total       requests answered unread, as there were too many

Names of models come from those that have answered or were asked, which callers choose: a name that no model goes by
counts as `unknown`, so that nobody can fill the memory with names of their own.
"""

from functools import cache
from typing import Any

from ray.util.metrics import Counter, Histogram

from deployments.policy.answer import Answer
from deployments.policy.outcome import UNKNOWN_MODEL

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]


@cache
def _answers() -> Any:
    return Counter("neverblank_answers_total", "Answers given.", ("served_by", "model", "degraded"))


@cache
def _seconds() -> Any:
    return Histogram("neverblank_answer_seconds", "Until an answer was complete.", _SECONDS, ("served_by",))


@cache
def _attempts() -> Any:
    return Counter("neverblank_attempts_total", "Attempts made.", ("model", "outcome", "why"))


@cache
def _turned_away() -> Any:
    return Counter("neverblank_turned_away_total", "Requests answered unread, as there were too many.")


def answered(answer: Answer, seconds: float) -> None:
    """An answer was given, `seconds` after its request had arrived."""
    tier = answer.served_by.value
    _answers().inc(tags={"served_by": tier, "model": answer.model, "degraded": str(answer.degraded).lower()})
    _seconds().observe(seconds, tags={"served_by": tier})
    for attempt in answer.attempts:
        model = "unknown" if attempt.outcome.reason == UNKNOWN_MODEL else attempt.candidate.model
        _attempts().inc(tags={"model": model, "outcome": attempt.outcome.name, "why": attempt.why.value})


def turned_away() -> None:
    """A request was answered unread."""
    _turned_away().inc()
