"""Attempts under way, and what becomes of those that have lost.

A loser is cancelled, down to the replica, unless its end tells something that nothing else would: a probe, which is to
find out whether its model works again, and a witness, which tells whether a model that has been overtaken is slow or
has gone silent. These run on behind the race, until the deadline of their request at the most.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

from deployments.execution.attempt import GIVEN_UP, Begun
from deployments.execution.pulse import Pulse
from deployments.observability import log
from deployments.policy.attempt import Candidate
from deployments.policy.outcome import Failed, Finished, Outcome, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResilienceState


@dataclass(slots=True)
class Flight:
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
    error = task.exception()
    if error is None:
        return task.result()
    log.internal_error("attempt", candidate.model, error)
    return Failed(f"internal error: {type(error).__name__}")


_background: set[asyncio.Task[Any]] = set()
"""Tasks of losers that are ending. The event loop keeps only weak references, and no other task waits for these."""


def abandon(task: asyncio.Task[Any]) -> None:
    """Cancel `task`, and close the stream that it may have begun."""
    task.cancel()
    _background.add(task)
    task.add_done_callback(_abandoned)


def _abandoned(task: asyncio.Task[Any]) -> None:
    _background.discard(task)
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        log.internal_error("cancelled attempt", "", error)
    elif isinstance(begun := task.result(), Begun):
        closing = task.get_loop().create_task(begun.aclose())
        _background.add(closing)
        closing.add_done_callback(_abandoned)


def run_on(flight: Flight, resilience: ResilienceState, until: float, fair_s: float) -> None:
    """Let a probe or a witness that has lost run on until `until` at the most, and record its outcome.

    Args:
        flight: the attempt, without first content.
        resilience: takes the outcome.
        until: a time on the event loop's clock.
        fair_s: seconds that the attempt must have had to be charged with having no answer by then.
    """
    loop = asyncio.get_running_loop()
    permit = flight.permit
    timers = [loop.call_at(until, flight.task.cancel)]
    _background.add(flight.task)

    def look() -> None:
        if flight.judge(resilience, loop.time()) and not resilience.is_awaited(permit):
            flight.task.cancel()
        elif flight.judged_at < until:
            timers.append(loop.call_at(flight.judged_at, look))

    def ended(task: asyncio.Task[Outcome | Begun]) -> None:
        for timer in timers:
            timer.cancel()
        now = loop.time()
        late = TimedOut("it had no answer in time") if now - permit.started >= fair_s else GIVEN_UP
        result = late if task.cancelled() else result_of(task, permit.candidate)
        if isinstance(result, Begun):  # first content is enough to show that the model works
            resilience.began(permit, now)
            resilience.record(permit, Finished(), now)
            _abandoned(task)
        else:
            _background.discard(task)
            resilience.record(permit, result, now)

    look()
    flight.task.add_done_callback(ended)
