"""Runs a chain: starts attempts, waits for them, cancels them. Every decision is `policy.next_step`'s.

How a race can end:

    Accept       `Won`; attempts still running are cancelled, down to the replica
    Exhausted    nobody answers in time
    Reject       InvalidRequestError: the model asked for calls the request invalid
    cancelled    the caller has gone away; every attempt is cancelled before CancelledError leaves

On each of these ways, and on any exception, every permit is handed back and every stream but the winner's is closed.
A probe that loses is not cancelled: only its own end tells whether the model that it tries has recovered.
The clock is the event loop's (`loop.time()`), so tests put the loop on virtual time and wait for nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deployments.execution.attempt import Begun
from deployments.observability import log
from deployments.policy.attempt import Attempt, Began, Candidate, Ended, Running, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.next_step import Accept, Allowance, AwaitReady, Exhausted, Reject, Start, WaitUntil, next_step
from deployments.policy.outcome import Cancelled, Failed, Finished, Outcome, TimedOut
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.resilience import Permit, ResilienceState

WaitReady = Callable[[Sequence[Candidate], float], Awaitable[Candidate | None]]
"""Waits until one of these candidates, best first, is ready, at most until a time; `None` where none is by then, or
there is no room for one more who waits."""

Launch = Callable[[Candidate, float], Coroutine[Any, Any, Outcome | Begun]]
"""Makes an attempt on a candidate within seconds. A `Begun` counts as an answer from its first content on."""


class Won(Struct, frozen=True):
    """Somebody answers.

    Attributes:
        place: of the winner in `trace`.
        trace: all attempts; the winner's has `Began` where it is a stream that goes on, and every other one has ended.
        begun: that stream, to be closed by whoever takes it; else `None`.
        permit: the permit of that stream, to be handed back when it has ended; else `None`.
    """

    place: int
    trace: tuple[Ended | Began, ...]
    begun: Begun | None = None
    permit: Permit | None = None


@dataclass(slots=True)
class _Flight:
    """An attempt whose permit is out: its place in the trace, the task that makes it, the stream that it has begun."""

    place: int
    permit: Permit
    task: asyncio.Task[Outcome | Begun]
    begun: Begun | None = None


class Race:
    """One run of one chain."""

    def __init__(
        self,
        chain: FallbackChain,
        resilience: ResilienceState,
        launch: Launch,
        *,
        streamed: bool,
        wait_ready: WaitReady,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Get ready to run `chain`.

        Args:
            chain: who is asked.
            resilience: asked before every attempt, and told how it ended.
            launch: makes the attempts.
            streamed: they give streams.
            wait_ready: waits for a candidate that cannot take the request yet.
            loop: the running event loop, where it is known.
        """
        self._wait_ready = wait_ready
        self._chain, self._resilience, self._launch, self._streamed = chain, resilience, launch, streamed
        self._loop = loop or asyncio.get_running_loop()
        self._clock = self._loop.time
        self._turn: asyncio.Future[None] | None = None
        self._attempts: list[Attempt] = []
        self._flights: list[_Flight] = []
        self._hedges = True
        self._waits = True

    async def run(self) -> Won | Exhausted:
        """Run the chain to its end; see the module for the ends there are.

        Raises:
            InvalidRequestError: the model asked for rejects the request.
        """
        try:
            while True:
                now = self._clock()
                # Before the first attempt there is nothing to repeat or to hedge.
                allowance = _NO_EXTRAS
                if self._attempts:
                    allowance = self._resilience.allowance(now, hedge=self._hedges, wait=self._waits)
                match next_step(self._chain, self._attempts, now, allowance):
                    case Start(candidate, why):
                        self._start(candidate, why, now)
                    case WaitUntil(until):
                        await self._wait(until - now)
                    case AwaitReady(candidates, until):
                        await self._wait_for_one(candidates, until)
                    case Accept(place, trace):
                        return self._won(place, trace, now)
                    case Exhausted(trace) as exhausted:
                        self._land(trace, now)
                        return exhausted
                    case Reject(rejected, trace):
                        self._land(trace, now)
                        raise InvalidRequestError(
                            Problem(rejected.field, f"was refused by the model: {rejected.reason}", "what it takes")
                        )
        finally:
            for flight in self._flights:
                if not flight.permit.returned:  # also a probe's: given up, it must not hold its place for ever
                    self._resilience.record(flight.permit, _GIVEN_UP, self._clock())
                _abandon(flight.task)

    async def _wait_for_one(self, candidates: Sequence[Candidate], until: float) -> None:
        candidate = await self._wait_ready(candidates, until)
        if candidate is None:
            self._waits = False
        else:
            self._start(candidate, Why.READY, self._clock())

    def _start(self, candidate: Candidate, why: Why, now: float) -> None:
        direct = candidate == self._chain.candidates[0] and why is Why.NEXT
        permit = self._resilience.admit(candidate, why, now, direct=direct, streamed=self._streamed)
        if isinstance(permit, Permit):
            task = self._loop.create_task(self._attempt(candidate, now))
            self._flights.append(_Flight(len(self._attempts), permit, task))
            self._attempts.append(Running(candidate, now, why, permit.probe))
        elif why is Why.HEDGE:  # it was an extra: the backup's own turn is still to come
            self._hedges = False
        elif why is Why.BESIDE_PROBE:
            self._attempts = [replace(a, probe=False) if isinstance(a, Running) else a for a in self._attempts]
        else:
            self._attempts.append(Ended(candidate, now, now, permit, why))

    async def _attempt(self, candidate: Candidate, now: float) -> Outcome | Begun:
        try:
            return await self._launch(candidate, self._chain.deadline.answer_by - now)
        finally:
            self._wake()  # the race's turn comes after the end of this one's, by which the task is done

    async def _wait(self, seconds: float) -> None:
        """Wait for an attempt to end or to begin, at most for so long; then note what has become of each."""
        self._turn = self._loop.create_future()
        timer = self._loop.call_later(max(seconds, _TICK_S), self._wake)
        try:
            await self._turn
        finally:
            self._turn = None
            timer.cancel()
        now = self._clock()
        for flight in [flight for flight in self._flights if flight.begun is None and flight.task.done()]:
            self._note(flight, now)

    def _note(self, flight: _Flight, now: float) -> None:
        running = self._attempts[flight.place]
        result = _result(flight.task, running.candidate)
        if isinstance(result, Begun):
            flight.begun = result
            self._resilience.began(flight.permit, now)
            self._attempts[flight.place] = Began(running.candidate, running.started, now, running.why)
        else:
            self._flights.remove(flight)
            self._resilience.record(flight.permit, result, now)
            self._attempts[flight.place] = Ended(running.candidate, running.started, now, result, running.why)

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _won(self, place: int, trace: tuple[Ended | Began, ...], now: float) -> Won:
        winner = next((flight for flight in self._flights if flight.place == place), None)
        if winner is not None:  # a stream: whoever takes it hands its permit back
            self._flights.remove(winner)
        self._land(trace, now)
        return Won(place, trace) if winner is None else Won(place, trace, winner.begun, winner.permit)

    def _land(self, trace: Sequence[Ended | Began], now: float) -> None:
        """The race is over: hand back the permits of those who were cut off, but let probes come to their end."""
        for flight in [flight for flight in self._flights if flight.permit.probe and flight.begun is None]:
            self._flights.remove(flight)
            _let_probe(flight, self._resilience, self._chain.deadline.answer_by - now)
        for flight in self._flights:
            ended = trace[flight.place]
            self._resilience.record(flight.permit, ended.outcome if isinstance(ended, Ended) else _GIVEN_UP, now)


def _result(task: asyncio.Task[Outcome | Begun], candidate: Candidate) -> Outcome | Begun:
    """What a finished task says. A model client that breaks its promise and raises is a failed attempt, and a bug."""
    if task.cancelled():
        return Failed("the call was cancelled from outside", transient=True)
    error = task.exception()
    if error is None:
        return task.result()
    log.internal_error("attempt", candidate.model, error)
    return Failed(f"internal error: {type(error).__name__}")


_NO_EXTRAS = Allowance(retry=False, hedge=False)

_TICK_S = 1e-4
"""The shortest pause: a clock may round a shorter one to nothing."""

_GIVEN_UP = Cancelled("given up by the caller")

_background: set[asyncio.Task[Any]] = set()
"""Losers on their way out. Nobody waits for them, and the event loop alone would keep only weak references."""


def _abandon(task: asyncio.Task[Any]) -> None:
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


def _let_probe(flight: _Flight, resilience: ResilienceState, seconds: float) -> None:
    """Let a probe that has lost run on for `seconds`, and tell `resilience` how it ended."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(max(0.0, seconds), flight.task.cancel)
    _background.add(flight.task)

    def ended(task: asyncio.Task[Outcome | Begun]) -> None:
        timer.cancel()
        result: Outcome | Begun = TimedOut("the probe had no answer in time")
        if not task.cancelled():
            result = _result(task, flight.permit.candidate)
        now = loop.time()
        if isinstance(result, Begun):  # it has begun to answer: that is all a probe is to find out
            resilience.began(flight.permit, now)
            resilience.record(flight.permit, Finished(), now)
            _abandoned(task)
        else:
            _background.discard(task)
            resilience.record(flight.permit, result, now)

    flight.task.add_done_callback(ended)
