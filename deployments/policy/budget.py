"""The budget of extra attempts: a token bucket that requests fill.

After Finagle's `RetryBudget` (a share of the requests, and a small floor for a service that has few) and gRPC's retry
throttling (gRFC A6: a bucket with a cap). Retries and hedges have one each, so neither can multiply an outage.
"""

from dataclasses import dataclass, field

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
        self._fill(now)
        self._tokens = min(BURST, self._tokens + self.share)

    def available(self, now: float) -> bool:
        """Return whether one extra may be made."""
        self._fill(now)
        return self.share > 0 and self._tokens >= 1.0

    def withdraw(self, now: float) -> None:
        """Take the token of one extra. Ask `available` before: an empty bucket stays empty."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def _fill(self, now: float) -> None:
        if self._filled < 0:
            self._filled = now
        if now > self._filled:
            self._tokens = min(BURST, self._tokens + FLOOR_PER_S * (now - self._filled))
            self._filled = now
