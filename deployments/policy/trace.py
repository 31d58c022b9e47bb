"""The end of a chain: who has answered, or that nobody has, with the record of every attempt."""

from collections.abc import Iterator, Sequence

from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running, Tier
from deployments.policy.outcome import Answered, Cancelled, Refused, TimedOut

LAST_RESORT = "last_resort"
"""The model name and the finish reason of a last-resort answer."""

FAIR_SHARE = 0.5
"""An attempt that is cut off after its slice counts as timed out only if it has had at least this share of what each
model of its tier has when they share the tier's time evenly. Otherwise a retry that was started late, or a model that
was asked late because another one failed late, would be charged with the time of others."""


def winning_answer(first: Candidate, winner: Ended, settled: tuple[Ended, ...]) -> Answer:
    """The answer of `winner`, an attempt that ended as `Answered`; `first` is who was to answer."""
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - narrowed by the caller
    return Answer(
        result=winner.outcome.result,
        model=winner.candidate.model,
        served_by=winner.candidate.tier,
        degraded=winner.candidate != first,
        attempts=settled,
        usage=winner.outcome.usage,
        finish_reason=winner.outcome.finish_reason,
        tool_calls=winner.outcome.tool_calls,
    )


def last_resort_answer(message: str, settled: tuple[Ended, ...]) -> Answer:
    """The last resort, which says `message`.

    Where everybody refused, and somebody for want of room, it says when to come again.
    """
    waits = [ended.outcome.retry_after_s for ended in settled if isinstance(ended.outcome, Refused)]
    refused = len(waits) == len(settled)
    return Answer(
        result=message,
        model=LAST_RESORT,
        served_by=Tier.LAST_RESORT,
        degraded=True,
        attempts=settled,
        finish_reason=LAST_RESORT,
        retry_after_s=min((wait for wait in waits if wait > 0), default=0.0) if refused else 0.0,
    )


def close_trace(
    attempts: Sequence[Attempt], ends: Sequence[float], fair: Sequence[float], now: float
) -> tuple[Ended, ...]:
    """Every attempt as ended at `now`.

    Args:
        attempts: in the order of their starts.
        ends: when the slice of each is over.
        fair: seconds each has to have had to be charged with a time-out; with less it was cancelled.
        now: the time.
    """
    return tuple(_settled(attempts, ends, fair, now))


def _settled(attempts: Sequence[Attempt], ends: Sequence[float], fair: Sequence[float], now: float) -> Iterator[Ended]:
    for attempt, end, share in zip(attempts, ends, fair, strict=True):
        if isinstance(attempt, Ended):
            yield attempt
        else:
            yield _cut_off(attempt, end, share, now)


def _cut_off(attempt: Running, slice_end: float, fair: float, now: float) -> Ended:
    taken = now - attempt.started
    outcome: TimedOut | Cancelled
    if now < slice_end:
        outcome = Cancelled("another tier answered first")
    elif taken < fair:
        outcome = Cancelled(f"its time was over after {taken:.2f} s, which is no fair share")
    else:
        outcome = TimedOut(f"no answer within {taken:.2f} s")
    return Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)
