"""How many extras there may be: a token bucket that requests feed.

After Finagle's `RetryBudget` (a share of the requests, and a small floor for a service that has few) and gRPC's retry
throttling (gRFC A6: a bucket with a cap). Retries and hedges have one each, so neither can multiply an outage.
"""

from dataclasses import dataclass, field

BURST = 10.0
"""Tokens a bucket holds at most: what may follow at once on a long quiet time."""

FLOOR_PER_S = 0.1
"""Tokens that come in each second by themselves: one extra every ten seconds for a service with hardly any requests."""


@dataclass(slots=True)
class Budget:
    """One bucket. It begins with a single token.

    Attributes:
        share: tokens each request brings.
    """

    share: float
    _tokens: float = 1.0
    _filled: float = field(default=-1.0)

    def deposit(self, now: float) -> None:
        """A request has come."""
        self._fill(now)
        self._tokens = min(BURST, self._tokens + self.share)

    def available(self, now: float) -> bool:
        """Whether one extra may be made."""
        self._fill(now)
        return self.share > 0 and self._tokens >= 1.0

    def withdraw(self, now: float) -> None:
        """One extra is made. Without a token that is a mistake of the caller's, and the bucket stays empty."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def _fill(self, now: float) -> None:
        if self._filled < 0:
            self._filled = now
        if now > self._filled:
            self._tokens = min(BURST, self._tokens + FLOOR_PER_S * (now - self._filled))
            self._filled = now
