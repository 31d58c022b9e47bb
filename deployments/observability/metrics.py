"""Counts the answers of a process. `ray_serve.metrics` takes the counts every second, and exports them.

Memory is bounded. Callers choose names of models freely, so a name that no model has is counted as `unknown`. Where the
counts are no longer taken, the oldest durations are dropped.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.policy.answer import Answer
from deployments.policy.outcome import UNKNOWN_MODEL

MAX_DURATIONS = 10_000
"""Durations that are kept until they are taken: those of one second at five times the highest measured load."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts since counts were last taken.

    Attributes:
        answers: the number of answers by tier, model, and whether they were degraded (`true`, `false`).
        attempts: the number of attempts by model, outcome, and the reason for which they were made.
        turned_away: requests that were answered unread.
        abandoned: requests whose callers left before they were answered.
        abandoned_seconds: the time that was spent on those.
        durations: for each answer its tier, and the seconds until it was complete.
        forgotten: durations that were dropped, beyond `MAX_DURATIONS`.
    """

    answers: Mapping[tuple[str, str, str], int]
    attempts: Mapping[tuple[str, str, str], int]
    turned_away: int
    abandoned: int
    abandoned_seconds: float
    durations: Sequence[tuple[str, float]]
    forgotten: int


# Counting here takes a tenth of the time of one of Ray's counters, and a twentieth on the request path, where
# the caches are cold for Ray's code.
_answers: Counter[tuple[str, str, str]] = Counter()
_attempts: Counter[tuple[str, str, str]] = Counter()
_durations: deque[tuple[str, float]] = deque(maxlen=MAX_DURATIONS)
_others: Counter[str] = Counter()
_abandoned_seconds = [0.0]


def answered(answer: Answer, seconds: float) -> None:
    """Count an answer that was given, `seconds` after its request had arrived, and its attempts."""
    tier = answer.served_by
    _answers[tier, answer.model, "true" if answer.degraded else "false"] += 1
    if len(_durations) == MAX_DURATIONS:
        _others["forgotten"] += 1
    _durations.append((tier, seconds))
    for attempt in answer.attempts:
        model = "unknown" if attempt.outcome.reason == UNKNOWN_MODEL else attempt.candidate.model
        _attempts[model, attempt.name, attempt.why] += 1


def turned_away() -> None:
    """Count a request that was answered unread."""
    _others["turned_away"] += 1


def abandoned(seconds: float) -> None:
    """Count a request whose caller left `seconds` after it had arrived, unanswered."""
    _others["abandoned"] += 1
    _abandoned_seconds[0] += seconds


def drain_counts() -> Counts:
    """Return the counts, and begin again at zero."""
    counts = Counts(
        answers=dict(_answers),
        attempts=dict(_attempts),
        turned_away=_others["turned_away"],
        abandoned=_others["abandoned"],
        abandoned_seconds=_abandoned_seconds[0],
        durations=tuple(_durations),
        forgotten=_others["forgotten"],
    )
    for counted in (_answers, _attempts, _durations, _others):
        counted.clear()
    _abandoned_seconds[0] = 0.0
    return counts
