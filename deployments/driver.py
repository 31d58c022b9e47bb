"""Runs a chain: starts, races and cancels attempts. All decisions are `policy.chain.next_step`'s.

How a request can end here:

    next_step says Finish      its answer; attempts still running are cancelled, down to the replica
    the caller goes away       CancelledError, after every attempt has been cancelled

The clock is the event loop's (`loop.time()`), so tests put the loop on virtual time and wait for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from deployments import telemetry
from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running
from deployments.policy.breaker import Breakers, Permit
from deployments.policy.chain import FallbackChain, Finish, Start, WaitUntil, next_step
from deployments.policy.outcome import Cancelled, Failed, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest


class Caller(Protocol):
    """One way to reach a model."""

    async def call(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Make one attempt that may take `budget_s` seconds.

        Whatever goes wrong is an outcome; only cancellation raises, after it has been passed on to whoever
        does the work.
        """
        ...

    def stream(self, request: InferenceRequest, budget_s: float) -> AsyncIterator[StreamItem]:
        """Make one attempt and give its text as it comes, with one `StreamEnd` behind it.

        Where `request.prefix` is not empty, what is given carries on right behind it, with no character repeated;
        a model that cannot do that, or starts over, is `Refused`. Closing the iterator (`aclose`) stops the work;
        whatever goes wrong is the last item. No time is kept here but `budget_s`, the seconds for all of it: how
        long a silence may last is the driver's to judge.
        """
        ...


@dataclass(slots=True)
class _Flight:
    """An attempt under way: its place in the trace, its leave to be made, the task that makes it."""

    place: int
    permit: Permit
    task: asyncio.Task[Outcome]


async def run_chain(
    chain: FallbackChain,
    request: InferenceRequest,
    caller_of: Callable[[Candidate], Caller],
    breakers: Breakers,
) -> Answer:
    """Answer `request` by `chain.deadline.answer_by`.

    Args:
        chain: who is asked, its deadline on the running event loop's clock.
        request: what they are asked.
        caller_of: how each candidate is reached.
        breakers: asked before every attempt, and told how it ended.
    """
    clock = asyncio.get_running_loop().time
    attempts: list[Attempt] = []
    flights: list[_Flight] = []
    try:
        while True:
            now = clock()
            match next_step(chain, attempts, now):
                case Finish(answer):
                    for flight in flights:  # cut off: their end is in the answer's trace
                        ended = answer.attempts[flight.place]
                        breakers.record(ended.candidate, flight.permit, ended.outcome, now)
                    return answer
                case Start(candidate):
                    permit = breakers.admit(candidate, now)
                    if isinstance(permit, Refused):
                        attempts.append(Ended(candidate, now, now, permit))
                        continue
                    budget_s = chain.deadline.answer_by - now
                    task = asyncio.create_task(_attempt(caller_of, candidate, request, budget_s))
                    flights.append(_Flight(len(attempts), permit, task))
                    attempts.append(Running(candidate, now))
                case WaitUntil(until):
                    await asyncio.wait(
                        [flight.task for flight in flights],
                        timeout=until - now,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    now = clock()
                    for flight in [flight for flight in flights if flight.task.done()]:
                        flights.remove(flight)
                        running = attempts[flight.place]
                        outcome = _outcome(flight.task, running.candidate)
                        breakers.record(running.candidate, flight.permit, outcome, now)
                        attempts[flight.place] = Ended(running.candidate, running.started, now, outcome)
    except asyncio.CancelledError:
        for flight in flights:  # a probe that was given up must not hold its place for ever
            breakers.record(attempts[flight.place].candidate, flight.permit, _GIVEN_UP, clock())
        raise
    finally:
        for flight in flights:
            _abandon(flight.task)


async def _attempt(
    caller_of: Callable[[Candidate], Caller], candidate: Candidate, request: InferenceRequest, budget_s: float
) -> Outcome:
    """Find the caller within the task, so that a candidate that cannot be found is a failed attempt, too."""
    return await caller_of(candidate).call(request, budget_s)


def _outcome(task: asyncio.Task[Outcome], candidate: Candidate) -> Outcome:
    """What a finished task says. A caller that breaks its promise and raises is a failed attempt, and a bug."""
    if task.cancelled():
        return Failed("the call was cancelled from outside", transient=True)
    error = task.exception()
    if error is None:
        return task.result()
    telemetry.internal_error("caller", candidate.model, error)
    return Failed(f"internal error: {type(error).__name__}")


_GIVEN_UP = Cancelled("given up by the caller")

_abandoned: set[asyncio.Task[Any]] = set()
"""Losers on their way out. Nobody waits for them, but the event loop alone would keep only weak references."""


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_buried)


def _buried(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        telemetry.internal_error("cancelled caller", "", error)
