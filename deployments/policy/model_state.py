"""What a router remembers of one model between requests."""

from dataclasses import dataclass, field

from deployments.policy.breaker import BreakerState, Closed
from deployments.policy.concurrency_limit import AdaptiveLimiter
from deployments.policy.cooldown import Cooldown
from deployments.policy.outcome import Finished, Outcome, TimedOut
from deployments.policy.terms import IMPOSED

MOST_WITNESSES = 2
"""Attempts on one model that run on though they have been overtaken: who has lost is work for nobody. As many more run
on behind a silence that was a failure, to tell whether they are answered after all."""

LONG_PROMPT = 2.0
"""A time-out is excused where the prompt is so many times longer than the longest that its model has answered."""

MOST_EXCUSED = 3
"""Time-outs in a row that may be excused, so that a model that is gone is found out even where all prompts are long."""


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
        excused: time-outs since its last answer that were put down to the length of the prompt.
    """

    limit: AdaptiveLimiter
    breaker: BreakerState = field(default_factory=Closed)
    cooldown: Cooldown = field(default_factory=Cooldown)
    suspected: bool = False
    watched: int = 0
    late: int = 0
    excused: int = 0

    @property
    def untouched(self) -> bool:
        """Whether it holds nothing that is worth being remembered."""
        return (
            self.limit.untouched
            and not self.suspected
            and not self.excused
            and self.breaker == Closed()
            and self.cooldown.idle
        )

    def forgiven(self) -> BreakerState:
        """Forget the pause and the suspicion, and return a closed breaker; attempts under way say nothing about it."""
        self.cooldown, self.suspected, self.excused = Cooldown(), False, 0
        return Closed(self.breaker.epoch + 1)

    def without_long_prompts(self, said: Outcome | Finished, prompt_ratio: float) -> Outcome | Finished:
        """Return what an outcome says about the model's health: a time-out that a long prompt explains says nothing.

        Args:
            said: the outcome.
            prompt_ratio: see `Patience`.
        """
        if prompt_ratio < LONG_PROMPT or not isinstance(said, TimedOut) or self.excused >= MOST_EXCUSED:
            return said
        self.excused += 1
        return IMPOSED

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
