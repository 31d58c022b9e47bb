"""What a router remembers of one model between requests."""

from dataclasses import dataclass, field

from deployments.policy.breaker import BreakerState, Closed
from deployments.policy.concurrency_limit import AdaptiveLimiter
from deployments.policy.cooldown import Cooldown

MOST_WITNESSES = 2
"""Attempts on one model that run on though they have been overtaken: who has lost is work for nobody. As many more run
on behind a silence that was a failure, to tell whether they are answered after all."""


@dataclass(slots=True)
class ModelState:
    """What is remembered of one model.

    Attributes:
        limit: its adaptive limit.
        breaker: the state of its breaker.
        cooldown: the pause that it asked for.
        suspected: it was silent for too long, and has answered nobody since.
        watched: attempts that run on though they have been overtaken, to tell whether they are answered or silent.
        late: attempts that run on behind a silence that was a failure.
    """

    limit: AdaptiveLimiter
    breaker: BreakerState = field(default_factory=Closed)
    cooldown: Cooldown = field(default_factory=Cooldown)
    suspected: bool = False
    watched: int = 0
    late: int = 0

    @property
    def untouched(self) -> bool:
        """Whether it holds nothing that is worth being remembered."""
        return self.limit.untouched and not self.suspected and self.breaker == Closed() and self.cooldown.idle

    def forgiven(self) -> BreakerState:
        """Forget the pause and the suspicion, and return a closed breaker; attempts under way say nothing about it."""
        self.cooldown, self.suspected = Cooldown(), False
        return Closed(self.breaker.epoch + 1)

    def take_watched(self) -> bool:
        """Take the place of an attempt that is watched, and say whether there was one."""
        taken = self.watched < MOST_WITNESSES
        self.watched += taken
        return taken

    def take_late(self) -> bool:
        """Take the place of an attempt that is late, and say whether there was one."""
        taken = self.late < MOST_WITNESSES
        self.late += taken
        return taken
