"""Closes the trace of a chain: gives an outcome to the attempts that were cut off at its end."""

from collections.abc import Sequence

from deployments.policy.attempt import Attempt, Began, Ended, Running
from deployments.policy.outcome import Cancelled, TimedOut

FAIR_SHARE = 0.5
"""An attempt that is cut off at its per-try timeout counts as timed out only if it had at least this share of an even
part of its tier's time. Otherwise it counts as cancelled: a retry that was started late, or a model that was asked late
because another one failed late, must not be charged with the time of others."""


def close_trace(
    attempts: Sequence[Attempt], ends: Sequence[float], fair: Sequence[float], now: float
) -> tuple[Ended, ...]:
    """Return every attempt as ended at `now`: an open one as `Cancelled`, or as `TimedOut` after its per-try timeout.

    Args:
        attempts: the attempts in the order of their starts.
        ends: for each attempt, from when on it counts as timed out: see `FallbackChain.charged_from`.
        fair: for each attempt, the seconds that it must have had to count as timed out.
        now: the time.
    """
    return tuple(
        attempt if isinstance(attempt, Ended) else _cut_off(attempt, end, share, now)
        for attempt, end, share in zip(attempts, ends, fair, strict=True)
    )


def _cut_off(attempt: Running | Began, end: float, fair: float, now: float) -> Ended:
    taken = now - attempt.started
    outcome: TimedOut | Cancelled
    if isinstance(attempt, Running) and now >= attempt.silent_at:
        silent_s = now - max(attempt.started, attempt.alive)
        outcome = TimedOut(f"silent for {silent_s:.2f} s, far longer than it usually takes")
    elif now < end or isinstance(attempt, Began):
        outcome = Cancelled("another tier answered first")
    elif taken < fair:
        outcome = Cancelled(f"its per-try timeout was over after {taken:.2f} s, less than its fair share")
    else:
        outcome = TimedOut(f"no answer within {taken:.2f} s")
    return Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)
