"""Runs a chain: starts, races and cancels attempts. All decisions are `policy.chain.next_step`'s.

How a race can end:

    next_step says Finish      its answer; attempts still running are cancelled, down to the replica
    next_step says Reject      InvalidRequestError: the caller's fault, as the model asked for has it
    the caller goes away       CancelledError, after every attempt has been cancelled

A probe that loses is not cancelled: only its own end tells whether the model it tries is well again.
The clock is the event loop's (`loop.time()`), so tests put the loop on virtual time and wait for nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace

from deployments.observability import log
from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running, Why
from deployments.policy.chain import Allowance, FallbackChain, Finish, Reject, Start, WaitUntil, next_step
from deployments.policy.outcome import Answered, Cancelled, Failed, Outcome, StreamItem, TimedOut
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.resilience import Permit, ResilienceState
from deployments.request import InferenceRequest


class Caller(Protocol):
    """One way to reach a model."""

    async def call(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Make one attempt that may take `budget_s` seconds.

        Whatever goes wrong is an outcome; only cancellation raises, after it has been passed on to whoever
        does the work.
        """
        ...

    def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Make one attempt and give its text as it comes, with one `StreamEnd` behind it.

        Where `request.prefix` is not empty, what is given carries on right behind it, with no character repeated;
        a model that cannot do that, or starts over, is `Refused`. Closing the generator stops the work; whatever goes
        wrong is the last item. No time is kept here but `budget_s`, the seconds for all of it: how long a silence may
        last is the driver's to judge.
        """
        ...


Judge = Callable[[Outcome], Outcome]
"""Holds an answer to what its caller wants of it; any other outcome is left as it is."""

Launch = Callable[[Candidate, float, int], Coroutine[Any, Any, Outcome]]
"""Makes an attempt on a candidate within seconds; the last argument is its place in the trace."""


async def run_chain(
    chain: FallbackChain,
    request: InferenceRequest,
    caller_of: Callable[[Candidate], Caller],
    resilience: ResilienceState,
    judge: Judge | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Answer:
    """Answer `request` by `chain.deadline.answer_by`.

    Args:
        chain: who is asked, its deadline on the running event loop's clock.
        request: what they are asked.
        caller_of: how each candidate is reached.
        resilience: asked before every attempt, and told how it ended.
        judge: holds every answer to the form its caller wants; `None` where any will do.
        loop: the running one, where it is known; see `LoopClock`.

    Raises:
        InvalidRequestError: the model asked for rejects the request.
    """

    async def launch(candidate: Candidate, budget_s: float, _: int) -> Outcome:
        # Found within the task, so that a candidate that cannot be found is a failed attempt, too.
        outcome = await caller_of(candidate).call(request, budget_s)
        return outcome if judge is None else judge(outcome)

    return await Race(chain, resilience, launch, streamed=False, loop=loop).run()


@dataclass(slots=True)
class _Flight:
    """An attempt under way: its place in the trace, its leave to be made, the task that makes it."""

    place: int
    permit: Permit
    task: asyncio.Task[Outcome]


class Race:
    """One run of one chain.

    Attributes:
        begun: of streams, the permits of the attempts whose first content has come, by their places in the trace.
            Their streams go on, so these are the runner's to hand back; all others are the race's.
    """

    def __init__(
        self,
        chain: FallbackChain,
        resilience: ResilienceState,
        launch: Launch,
        *,
        streamed: bool,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Get ready to run `chain`, whose attempts `launch` makes; of streams it waits for the first content only."""
        self.begun: dict[int, Permit] = {}
        self._chain, self._resilience, self._launch, self._streamed = chain, resilience, launch, streamed
        self._loop = loop or asyncio.get_running_loop()
        self._clock = self._loop.time
        self._turn: asyncio.Future[None] | None = None
        self._attempts: list[Attempt] = []
        self._flights: list[_Flight] = []
        self._hedges = True

    async def run(self) -> Answer:
        """Run it to its end; see the module for the ends there are."""
        try:
            while True:
                now = self._clock()
                # Before the first attempt there is nothing to repeat or to hedge.
                allowance = self._resilience.allowance(now, hedge=self._hedges) if self._attempts else _NO_EXTRAS
                match next_step(self._chain, self._attempts, now, allowance):
                    case Finish(answer):
                        self._land(answer.attempts, now)
                        return answer
                    case Reject(rejected, attempts):
                        self._land(attempts, now)
                        problem = Problem(
                            rejected.field, f"was refused by the model: {rejected.reason}", "what it takes"
                        )
                        raise InvalidRequestError(problem)
                    case Start(candidate, why):
                        self._start(candidate, why, now)
                    case WaitUntil(until):
                        await self._wait(until - now)
        except asyncio.CancelledError:
            for flight in self._flights:  # a probe that was given up must not hold its place for ever
                self._resilience.record(flight.permit, _GIVEN_UP, self._clock())
            for permit in self.begun.values():
                self._resilience.record(permit, _GIVEN_UP, self._clock())
            raise
        finally:
            for flight in self._flights:
                _abandon(flight.task)

    def _start(self, candidate: Candidate, why: Why, now: float) -> None:
        direct = candidate == self._chain.candidates[0] and why is Why.NEXT
        permit = self._resilience.admit(candidate, why, now, direct=direct, streamed=self._streamed)
        if isinstance(permit, Permit):
            task = self._loop.create_task(self._attempt(candidate, now, len(self._attempts)))
            self._flights.append(_Flight(len(self._attempts), permit, task))
            self._attempts.append(Running(candidate, now, why, permit.probe))
        elif why is Why.HEDGE:  # it was an extra: the backup's own turn is still to come
            self._hedges = False
        elif why is Why.BESIDE_PROBE:
            self._attempts = [replace(a, probe=False) if isinstance(a, Running) else a for a in self._attempts]
        else:
            self._attempts.append(Ended(candidate, now, now, permit, why))

    async def _attempt(self, candidate: Candidate, now: float, place: int) -> Outcome:
        """Make one, and wake the race: its turn comes after the end of this one's, by which the task is done."""
        try:
            return await self._launch(candidate, self._chain.deadline.answer_by - now, place)
        finally:
            self._wake()

    async def _wait(self, seconds: float) -> None:
        """Until an attempt has ended, at most for so long. `asyncio.wait` does the same for any tasks, and dearer."""
        self._turn = self._loop.create_future()
        timer = self._loop.call_later(max(seconds, _TICK_S), self._wake)
        try:
            await self._turn
        finally:
            self._turn = None
            timer.cancel()
        now = self._clock()
        for flight in [flight for flight in self._flights if flight.task.done()]:
            self._flights.remove(flight)
            running = self._attempts[flight.place]
            outcome = _outcome(flight.task, running.candidate)
            if self._streamed and isinstance(outcome, Answered):
                self._resilience.began(flight.permit, now)
                self.begun[flight.place] = flight.permit
            else:
                self._resilience.record(flight.permit, outcome, now)
            self._attempts[flight.place] = Ended(running.candidate, running.started, now, outcome, running.why)

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _land(self, trace: Sequence[Ended], now: float) -> None:
        """The race is over: hand back the permits of those who were cut off, but let probes come to their end."""
        for flight in [flight for flight in self._flights if flight.permit.probe]:
            self._flights.remove(flight)
            _let_probe(flight, self._resilience, self._chain.deadline.answer_by - now)
        for flight in self._flights:
            self._resilience.record(flight.permit, trace[flight.place].outcome, now)


def _outcome(task: asyncio.Task[Outcome], candidate: Candidate) -> Outcome:
    """What a finished task says. A caller that breaks its promise and raises is a failed attempt, and a bug."""
    if task.cancelled():
        return Failed("the call was cancelled from outside", transient=True)
    error = task.exception()
    if error is None:
        return task.result()
    log.internal_error("caller", candidate.model, error)
    return Failed(f"internal error: {type(error).__name__}")


_NO_EXTRAS = Allowance(retry=False, hedge=False)

_TICK_S = 1e-4
"""The shortest pause: a clock may round a shorter one to nothing."""

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
        log.internal_error("cancelled caller", "", error)


def _let_probe(flight: _Flight, resilience: ResilienceState, seconds: float) -> None:
    """Let a probe that has lost run on for `seconds`, and tell the resilience how it ended."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(max(0.0, seconds), flight.task.cancel)
    _abandoned.add(flight.task)

    def ended(task: asyncio.Task[Outcome]) -> None:
        timer.cancel()
        _abandoned.discard(task)
        late = TimedOut("the probe had no answer in time")
        outcome = late if task.cancelled() else _outcome(task, flight.permit.candidate)
        resilience.record(flight.permit, outcome, loop.time())

    flight.task.add_done_callback(ended)
