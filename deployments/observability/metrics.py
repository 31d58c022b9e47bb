"""Counts what a process answers, until somebody takes the counts: `ray_serve.metrics` exports them every second.

Names of models come from those that have answered or were asked, which callers choose: a name that no model has counts
as `unknown`, so that nobody can fill the memory with names of their own. Nor does a process whose counts are taken no
more: it forgets the oldest durations.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.policy.answer import Answer
from deployments.policy.outcome import UNKNOWN_MODEL

MAX_DURATIONS = 10_000
"""Durations that are kept until they are taken: those of a second at five times what a router has been seen to do."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted since counts were last taken.

    Attributes:
        answers: how many answers, by tier, model and whether it was degraded (`true`, `false`).
        attempts: how many attempts, by model, outcome and why it was made.
        turned_away: requests that were answered unread.
        abandoned: requests whose callers left before they were answered.
        abandoned_seconds: the time that was spent on those.
        durations: the tier that answered, and seconds until the answer was complete.
        forgotten: durations that were more than could be kept.
    """

    answers: Mapping[tuple[str, str, str], int]
    attempts: Mapping[tuple[str, str, str], int]
    turned_away: int
    abandoned: int
    abandoned_seconds: float
    durations: Sequence[tuple[str, float]]
    forgotten: int


# A counter here takes a tenth of the time that one of Ray's takes, and half of that again on the request path, where
# Ray's finds cold caches.
_answers: Counter[tuple[str, str, str]] = Counter()
_attempts: Counter[tuple[str, str, str]] = Counter()
_durations: deque[tuple[str, float]] = deque(maxlen=MAX_DURATIONS)
_others: Counter[str] = Counter()
_abandoned_seconds = [0.0]


def answered(answer: Answer, seconds: float) -> None:
    """Count an answer that was given, `seconds` after its request had arrived, and its attempts."""
    tier = answer.served_by.value
    _answers[tier, answer.model, "true" if answer.degraded else "false"] += 1
    if len(_durations) == MAX_DURATIONS:
        _others["forgotten"] += 1
    _durations.append((tier, seconds))
    for attempt in answer.attempts:
        model = "unknown" if attempt.outcome.reason == UNKNOWN_MODEL else attempt.candidate.model
        _attempts[model, attempt.outcome.name, attempt.why.value] += 1


def turned_away() -> None:
    """Count a request that was answered unread."""
    _others["turned_away"] += 1


def abandoned(seconds: float) -> None:
    """Count a request whose caller left `seconds` after it had arrived, unanswered."""
    _others["abandoned"] += 1
    _abandoned_seconds[0] += seconds


def drain_counts() -> Counts:
    """Take what has been counted, and begin again at nothing."""
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
