"""When the same model is asked once more: only after what is transient, and only while there is time for it.

The pause is "equal jitter" (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015): half of the
exponential backoff is fixed, half is drawn, so that callers who failed together do not come back together.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from deployments.policy.attempt import Ended
from deployments.policy.outcome import Failed, Refused

MOST_RETRIES = 100


class RetryPolicy(Struct, frozen=True):
    """How often and how soon.

    Attributes:
        max_retries: times a model is asked again, 0 to `MOST_RETRIES`.
        base_s: seconds of the first backoff; each later one is twice as long.
        cap_s: the longest backoff.
        patience_s: the longest `retry-after` that is waited for.

    Raises:
        ValueError: a negative number, more than `MOST_RETRIES`, or a cap below the base.
    """

    max_retries: int = 2
    base_s: float = 0.05
    cap_s: float = 1.0
    patience_s: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_retries <= MOST_RETRIES:
            raise ValueError(f"max_retries is from 0 to {MOST_RETRIES}")
        if not 0 <= self.base_s <= self.cap_s or not self.patience_s >= 0:
            raise ValueError("base_s and patience_s are not negative, and cap_s is at least base_s")


def retry_at(policy: RetryPolicy, tries: Sequence[Ended], slice_end: float, jitter: float) -> float:
    """When a model is asked again whose attempts so far are `tries`; infinite for never.

    Args:
        policy: how often and how soon.
        tries: at least one, in the order of their starts.
        slice_end: a retry has to start before it.
        jitter: a draw in [0, 1).
    """
    last = tries[-1]
    outcome = last.outcome
    if not isinstance(outcome, (Failed, Refused)) or not outcome.transient or len(tries) > policy.max_retries:
        return math.inf
    if outcome.retry_after_s > policy.patience_s:
        return math.inf
    backoff = min(policy.cap_s, policy.base_s * 2.0 ** (len(tries) - 1)) * (0.5 + jitter / 2)
    due = last.ended + max(backoff, outcome.retry_after_s)
    return due if due < slice_end else math.inf
