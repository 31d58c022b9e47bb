"""Closing the record of a chain: how the attempts ended that were cut off when somebody had answered, or nobody."""

from collections.abc import Sequence

from deployments.policy.attempt import Attempt, Began, Ended, Running
from deployments.policy.outcome import Cancelled, TimedOut

FAIR_SHARE = 0.5
"""An attempt that is cut off at its per-try timeout counts as timed out only if it had at least this share of the time
that each model of its tier has when they share the tier's time evenly. Otherwise a retry that was started late, or a
model that was asked late because another one failed late, would be charged with the time of others."""


def close_trace(
    attempts: Sequence[Attempt], ends: Sequence[float], fair: Sequence[float], now: float
) -> tuple[Ended, ...]:
    """Every attempt as ended at `now`.

    Args:
        attempts: in the order of their starts.
        ends: when the per-try timeout of each is over.
        fair: seconds that each must have had to be charged with a time-out; with fewer it was cancelled.
        now: the time.
    """
    return tuple(
        attempt if isinstance(attempt, Ended) else _cut_off(attempt, end, share, now)
        for attempt, end, share in zip(attempts, ends, fair, strict=True)
    )


def _cut_off(attempt: Running | Began, end: float, fair: float, now: float) -> Ended:
    taken = now - attempt.started
    outcome: TimedOut | Cancelled
    if now < end or isinstance(attempt, Began):
        outcome = Cancelled("another tier answered first")
    elif taken < fair:
        outcome = Cancelled(f"its time was over after {taken:.2f} s, which is no fair share")
    else:
        outcome = TimedOut(f"no answer within {taken:.2f} s")
    return Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)
