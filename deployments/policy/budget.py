"""The budget of extra attempts: a token bucket that requests fill.

After Finagle's `RetryBudget` (a share of the requests, and a small floor for a service that has few) and gRPC's retry
throttling (gRFC A6: a bucket with a cap). Retries and hedges have one each, so neither can multiply an outage.
"""

from dataclasses import dataclass, field

from deployments.policy.allowance import Allowance
from deployments.policy.attempt import Candidate, Why

BURST = 10.0
"""The most tokens that a bucket holds: the extras that may be made at once after a long quiet time."""

FLOOR_PER_S = 0.1
"""Tokens added each second without any request, so that a service with few requests has an extra every ten seconds."""


@dataclass(slots=True)
class Budget:
    """One bucket. It begins with a single token.

    Attributes:
        share: tokens that each request adds; 0 allows no extras.
    """

    share: float
    _tokens: float = 1.0
    _filled: float = field(default=-1.0)

    def deposit(self, now: float) -> None:
        """Add the tokens of one request."""
        self._fill(now, self.share)

    def available(self, now: float) -> bool:
        """Return whether one extra may be made."""
        if self._tokens < 1.0:
            self._fill(now)
        return self.share > 0 and self._tokens >= 1.0

    def tokens(self, now: float) -> float:
        """Return the tokens that are in the bucket."""
        self._fill(now)
        return self._tokens

    def withdraw(self, now: float) -> None:
        """Take the token of one extra. Ask `available` before: an empty bucket stays empty."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def _fill(self, now: float, more: float = 0.0) -> None:
        if now > self._filled:
            if self._filled >= 0:
                more += FLOOR_PER_S * (now - self._filled)
            self._filled = now
        self._tokens = min(BURST, self._tokens + more)


class Budgets:
    """The budget of retries and that of hedges."""

    def __init__(self, retry_share: float, hedge_share: float) -> None:
        """Begin with one token each; see `Budget.share`."""
        self._retries, self._hedges = Budget(retry_share), Budget(hedge_share)
        self._paying = {Why.RETRY: self._retries, Why.HEDGE: self._hedges}

    def set_shares(self, retry_share: float, hedge_share: float) -> None:
        """Change the shares; the tokens stay."""
        self._retries.share, self._hedges.share = retry_share, hedge_share

    def deposit(self, now: float) -> None:
        """Add the tokens of one request."""
        self._retries.deposit(now)
        self._hedges.deposit(now)

    def allowance(self, now: float, *, wait: bool, skip: frozenset[Candidate]) -> Allowance:
        """Return which extras may be made now; `wait` and `skip` are the race's."""
        return Allowance(self._retries.available(now), self._hedges.available(now), wait, skip)

    def describe(self, now: float) -> dict[str, float]:
        """Return the tokens of each budget, for operators."""
        return {"retries": self._retries.tokens(now), "hedges": self._hedges.tokens(now)}

    def pay(self, why: Why, now: float) -> None:
        """Take the token of an attempt that was made for the reason `why`, where that is an extra."""
        if (budget := self._paying.get(why)) is not None:
            budget.withdraw(now)
