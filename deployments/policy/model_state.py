"""What a router remembers of one model between requests."""

from dataclasses import dataclass, field

from deployments.policy.breaker import BreakerState, Closed
from deployments.policy.concurrency_limit import AdaptiveLimiter

MOST_WITNESSES = 2
"""Attempts on one model that run on though they have been overtaken: who has lost is work for nobody."""


@dataclass(slots=True)
class ModelState:
    """What is remembered of one model.

    Attributes:
        limit: its adaptive limit.
        breaker: the state of its breaker.
        suspected: it was silent for too long, and has answered nobody since.
        witnesses: attempts that run on though they have been overtaken.
    """

    limit: AdaptiveLimiter
    breaker: BreakerState = field(default_factory=Closed)
    suspected: bool = False
    witnesses: int = 0

    @property
    def untouched(self) -> bool:
        """Whether it holds nothing that is worth being remembered."""
        return self.limit.untouched and not self.suspected and self.breaker == Closed()

    def take_witness(self) -> bool:
        """Take the place of a witness, and say whether there was one."""
        if self.witnesses >= MOST_WITNESSES:
            return False
        self.witnesses += 1
        return True
