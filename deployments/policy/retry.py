"""Retries of the same model: only after a transient failure, and only while there is time for one.

The pause is "equal jitter" (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015): half of the
exponential backoff is fixed, half is drawn, so that callers who failed together do not come back together.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deployments.policy.attempt import Ended
from deployments.policy.backoff import Backoff
from deployments.policy.knob import Knobs, knob, seconds, share
from deployments.policy.outcome import Failed, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy(Knobs):
    """Bounds on asking the same model once more after a transient failure, before another model is asked."""

    max: int = knob(2, "Times a model is asked again in one request.", ge=0, le=10)
    base_seconds: float = seconds(0.05, "The first pause; each later one is twice as long.")
    cap_seconds: float = seconds(1.0, "The longest pause, unless a model names a longer one in `retry-after`.")
    hold_seconds: float = seconds(
        60.0, "The longest time for which a model is not asked because it named a `retry-after`."
    )
    max_wait_seconds: float = seconds(3.0, "The longest `retry-after` that is waited for.")
    budget_share: float = share(
        0.2, "Retries may be this share of the requests, so that they do not multiply the load of an outage."
    )

    def contradictions(self) -> Iterator[str]:
        """Hold the longest pause to be no shorter than the first."""
        if self.cap_seconds < self.base_seconds:
            yield (
                f"cap_seconds: is {self.cap_seconds:g}, below base_seconds ({self.base_seconds:g}); "
                "accepted: at least that"
            )


NO_RETRIES = RetryPolicy(max=0)
"""No model is asked again."""


def retry_at(policy: RetryPolicy, tries: Sequence[Ended], per_try_end: float, jitter: float) -> float:
    """Return the time at which to ask a model again; infinite for never.

    Args:
        policy: the number of retries and their pauses.
        tries: the model's attempts so far in the order of their starts; at least one.
        per_try_end: when the per-try timeout is over, which the model's retries share. A retry is only made before it.
        jitter: a draw in [0, 1).
    """
    last = tries[-1]
    outcome = last.outcome
    if not isinstance(outcome, (Failed, Refused)) or not outcome.transient or len(tries) > policy.max:
        return math.inf
    if outcome.retry_after_s > policy.max_wait_seconds:
        return math.inf
    pause_s = Backoff(policy.base_seconds, policy.cap_seconds).pause_s(len(tries)) * (0.5 + jitter / 2)
    due = last.ended + max(pause_s, outcome.retry_after_s)
    return due if due < per_try_end else math.inf
