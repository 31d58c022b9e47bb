"""Attempts under way, and what becomes of those that have lost.

A loser is cancelled, down to the replica, unless its end tells something that nothing else would: a probe, which is to
find out whether its model works again, and a witness, which tells whether a model that has been overtaken is slow or
has gone silent. These run on behind the race, until the deadline of their request at the most.
"""

import asyncio
import math

from msgspec import Struct

from deployments.execution.attempt import GIVEN_UP, Begun
from deployments.execution.clock import SHORTEST_TIMER_S, loop_time
from deployments.execution.pulse import Pulse
from deployments.observability import log
from deployments.observability.chores import Chores
from deployments.policy.attempt import Candidate
from deployments.policy.outcome import Failed, Finished, Outcome, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResilienceState


class Flight(Struct, eq=False):
    """An attempt whose permit is not handed back.

    Attributes:
        permit: its permit.
        task: makes the attempt.
        pulse: its signs of life.
        begun: the stream that it has begun; `None` before that, and for a whole answer.
    """

    permit: Permit
    task: asyncio.Task[Outcome | Begun]
    pulse: Pulse
    begun: Begun | None = None

    @property
    def judged_at(self) -> float:
        """When its silence is to be judged next; infinite where there is nothing left to judge."""
        if self.begun is not None or self.permit.charged:
            return math.inf
        heard = max(self.permit.started, self.pulse.at)
        return heard + (self.permit.patience.failed_s if self.permit.silent else self.permit.patience.silent_s)

    def judge(self, resilience: ResilienceState, now: float) -> bool:
        """Record a silence that is too long, and that it is a failure, once each; return whether it just failed."""
        if not self.permit.silent and now >= self.judged_at:
            resilience.silent(self.permit)
        fails = self.permit.silent and now >= self.judged_at
        if fails:
            resilience.charge(self.permit, now)
        return fails


def result_of(task: asyncio.Task[Outcome | Begun], candidate: Candidate) -> Outcome | Begun:
    """Return the result of a finished task. A client must not raise: an error is logged as a bug, and is `Failed`."""
    if task.cancelled():
        return Failed("the call was cancelled from outside", transient=True)
    if (error := task.exception()) is None:
        return task.result()
    log.internal_error("attempt", candidate.model, error)
    return Failed(f"internal error: {type(error).__name__}")


losers = Chores("attempt that lost")
"""What is done with the attempts that have lost; no other task waits for it."""


def abandon(task: asyncio.Task[Outcome | Begun]) -> None:
    """Cancel `task`, and close the stream that it may have begun."""
    task.cancel()
    losers.start(_close(task))


async def _close(task: asyncio.Task[Outcome | Begun]) -> None:
    await asyncio.wait({task})
    if not task.cancelled() and isinstance(begun := task.result(), Begun):
        await begun.aclose()


async def run_on(flight: Flight, resilience: ResilienceState, until: float, fair_s: float) -> None:
    """Let a probe or a witness that has lost run on until `until` at the most, and record its outcome.

    Args:
        flight: the attempt, without first content.
        resilience: takes the outcome.
        until: a time on the event loop's clock.
        fair_s: seconds that the attempt must have had to be charged with having no answer by then.
    """
    task, permit = flight.task, flight.permit
    while not task.done() and (now := loop_time()) < until:
        if flight.judge(resilience, now) and not resilience.is_awaited(permit):
            break
        await asyncio.wait({task}, timeout=max(SHORTEST_TIMER_S, min(until, flight.judged_at) - now))
    task.cancel()
    await asyncio.wait({task})
    now = loop_time()
    late = TimedOut("it had no answer in time") if now - permit.started >= fair_s else GIVEN_UP
    result = late if task.cancelled() else result_of(task, permit.candidate)
    if isinstance(result, Begun):  # first content is enough to show that the model works
        resilience.began(permit, now)
        resilience.record(permit, Finished(), now)
        await result.aclose()
    else:
        resilience.record(permit, result, now)
