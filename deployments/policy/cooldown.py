"""The time for which a model is left alone because it asked for that: its `retry-after`, as all requests keep it.

    a refusal or a failure that names a time ──► held until then, at most `longest_s` ──► asked again
    a success of an attempt that was started since ──► no longer held

It is no evidence about the health of a model: a rate limit says that the model works.
"""

import math
from dataclasses import dataclass

from deployments.policy.outcome import Answered, Failed, Finished, Outcome, Refused


@dataclass(slots=True)
class Cooldown:
    """The hold on one model, or on one of its endpoints.

    Attributes:
        until: the time before which it is not asked; minus infinity where nothing holds it.
        since: the time at which it asked for that.
    """

    until: float = -math.inf
    since: float = -math.inf

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return self.until == -math.inf

    def left_s(self, now: float) -> float:
        """Return the seconds for which it is still to be left alone; 0 for not at all."""
        return max(0.0, self.until - now)

    def refusal(self, now: float) -> Refused | None:
        """Return the refusal of an attempt at `now`; `None` where it may be made."""
        if now >= self.until:
            return None
        left = self.left_s(now)
        return Refused(f"it asked for a pause, of which {left:.1f} s are left", transient=True, retry_after_s=left)

    def learn(self, outcome: Outcome | Finished, started: float, now: float, longest_s: float) -> None:
        """Learn from the outcome of an attempt that was started at `started`; nobody is held for over `longest_s`."""
        match outcome:
            # One that was started at the very moment of the refusal was not started behind it.
            case Answered() | Finished() if started > self.since:
                self.until, self.since = -math.inf, -math.inf
            case Refused(retry_after_s=wait_s) | Failed(retry_after_s=wait_s) if wait_s > 0:
                self.until, self.since = max(self.until, now + min(wait_s, longest_s)), now
            case _:
                return
