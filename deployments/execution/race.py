"""Runs a chain: starts attempts, waits for attempts, cancels attempts. `policy.next_step` makes every decision.

A race can end in four ways:

    Accept       `Accept`, or `Opened` where a stream goes on; attempts still running are cancelled, down to the replica
    Exhausted    no candidate answers in time
    Reject       InvalidRequestError: the model asked for calls the request invalid
    cancelled    the caller has gone away; every attempt is cancelled before CancelledError leaves

In each of these ways, and after any exception, every permit is handed back and every stream but the winner's is closed.
A probe that loses is not cancelled, and a few others are not either: see `flight`. An attempt that is silent for far
longer than its model usually is counts against the model as soon as it is so long.
The clock is the event loop's (`loop.time()`), so tests put the loop on virtual time and wait for nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deployments.execution.attempt import GIVEN_UP, Begun
from deployments.execution.clock import SHORTEST_TIMER_S
from deployments.execution.execution import Execution, NotReady, terms_of
from deployments.execution.flight import Flight, abandon, losers, result_of, run_on
from deployments.execution.pulse import Pulse
from deployments.policy.allowance import EVERYTHING, Allowance
from deployments.policy.attempt import Attempt, Began, Candidate, Ended, Running, Why
from deployments.policy.backoff import Backoff
from deployments.policy.chain import FallbackChain
from deployments.policy.impossible import NO_SUCH_MODEL
from deployments.policy.next_step import next_step
from deployments.policy.outcome import Outcome, Rejected
from deployments.policy.permit import Permit
from deployments.policy.problem import InvalidRequestError, Problem, status_of_code
from deployments.policy.step import Accept, AwaitReady, Exhausted, Reject, Start, WaitUntil

Launch = Callable[[Candidate, float], Coroutine[Any, Any, Outcome | Begun]]
"""Makes one attempt on a candidate, within a number of seconds. A `Begun` counts as an answer from its start."""


class Opened(Struct, frozen=True):
    """A stream whose first content is there.

    Attributes:
        place: the index in `trace` of the attempt that gives the stream.
        trace: the attempts that were made to open the stream. That of its writer has begun; all others have ended.
        begun: the stream; whoever takes it has to close it.
        permit: to be handed back when the stream has ended; `None` where the whole answer was there at once.
    """

    place: int
    trace: tuple[Ended | Began, ...]
    begun: Begun
    permit: Permit | None

    @property
    def writer(self) -> Candidate:
        """The candidate that writes the stream."""
        return self.trace[self.place].candidate


class Race:
    """One run of one chain."""

    def __init__(self, execution: Execution, chain: FallbackChain, launch: Launch) -> None:
        """Get ready to run `chain`.

        Args:
            execution: the request, and what its attempts are made with.
            chain: the chain of the request, or what is left of it.
            launch: makes an attempt.
        """
        self._resilience, self._wait_ready = execution.resilience, execution.wait_ready
        self._terms = terms_of(execution.request)
        self._chain, self._launch = chain, launch
        self._loop = asyncio.get_running_loop()
        self._news = self._loop.create_future()  # done once an attempt has begun or ended, or it is time to look
        self._attempts: list[Attempt] = []
        self._flights: dict[int, Flight] = {}  # by their places in `_attempts`
        self._skip: frozenset[Candidate] = frozenset()
        self._readied = 0
        self._unready: NotReady | None = None  # why no candidate is waited for any more

    async def run(self) -> Opened | Accept | Exhausted:
        """Run the chain to one of the ends in the module's table.

        Raises:
            InvalidRequestError: the model asked for rejects the request.
        """
        try:
            while True:
                now = self._loop.time()
                step = next_step(self._chain, self._attempts, now, self._allowance(now))
                match step:  # what is in a step is read from it: captures cost more than all of the rest
                    case Start():
                        self._start(step.candidate, step.why, now)
                    case WaitUntil():
                        await self._wait(step.time, now)
                    case Accept():
                        winner = self._flights.pop(step.place, None)  # a stream: its permit is handed back at its end
                        self._close(step.trace, now)
                        if winner is None or winner.begun is None:
                            return step
                        return Opened(step.place, step.trace, winner.begun, winner.permit)
                    case AwaitReady(candidates, until):
                        await self._wait_for_one(candidates, until)
                    case Exhausted(trace):
                        self._close(trace, now)
                        return Exhausted(trace, NO_PLACE_RETRY_AFTER_S if self._unready is NotReady.NO_PLACE else 0.0)
                    case Reject(rejected, trace):
                        self._close(trace, now)
                        raise InvalidRequestError(_problem(rejected))
        finally:
            for flight in self._flights.values():
                if not flight.permit.returned:  # a probe's, too: it must free its place in the breaker
                    self._resilience.record(flight.permit, GIVEN_UP, self._loop.time())
                abandon(flight.task)

    def _allowance(self, now: float) -> Allowance:
        """Return which extras may be made at `now`; before the first attempt there are none to make."""
        if not self._attempts and self._unready is None:
            return EVERYTHING
        return self._resilience.allowance(now, wait=self._unready is None, skip=self._skip)

    async def _wait_for_one(self, candidates: Sequence[Candidate], until: float) -> None:
        """Start an attempt on the first of `candidates` that becomes ready; without one, wait no more.

        Where all have failed for good the first is asked once more: its refusal says why.

        A candidate that called itself ready may refuse all the same: before it is asked again there is a pause.
        """
        if self._readied:
            await asyncio.sleep(min(READY_PAUSES.pause_s(self._readied), max(0.0, until - self._loop.time())))
        self._readied += 1
        may_wait = self._readied <= MAX_READY_ATTEMPTS
        ready = await self._wait_ready(candidates, until) if may_wait else NotReady.TOO_LATE
        self._unready = ready if isinstance(ready, NotReady) else None
        chosen = candidates[0] if ready is NotReady.NEVER else ready
        if isinstance(chosen, Candidate):
            self._start(chosen, Why.READY, self._loop.time())

    def _start(self, candidate: Candidate, why: Why, now: float) -> None:
        direct = candidate == self._chain.candidates[0] and why in _ITS_TURN
        permit = self._resilience.admit(candidate, why, now, self._terms, direct=direct)
        if isinstance(permit, Permit):
            pulse = Pulse(self._loop.time)
            task = self._loop.create_task(self._attempt(candidate, now, pulse))
            self._flights[len(self._attempts)] = Flight(permit, task, pulse)
            self._attempts.append(
                Running(candidate, now, why, permit.probe, permit.suspected, patience_s=permit.patience.silent_s)
            )
        elif why in _EARLY:  # not an attempt in the trace: its own turn is still to come
            self._skip |= {candidate}
        else:
            self._attempts.append(Ended(candidate, now, now, permit, why))

    async def _attempt(self, candidate: Candidate, now: float, pulse: Pulse) -> Outcome | Begun:
        pulse.attach()
        try:
            return await self._launch(candidate, self._chain.deadline.answer_by - now)
        finally:
            self._wake()  # the race resumes in a later turn of the loop, when this task is done

    def _wake(self) -> None:
        if not self._news.done():
            self._news.set_result(None)

    async def _wait(self, until: float, now: float) -> None:
        """Wait until an attempt begins, ends or is silent for too long, at most until `until`; then note what has."""
        due = until
        for flight in self._flights.values():
            due = min(due, flight.judged_at)
        timer = self._loop.call_at(max(due, now + SHORTEST_TIMER_S), self._wake)
        try:
            await self._news
        finally:
            timer.cancel()
        self._news = self._loop.create_future()
        now = self._loop.time()
        for place, flight in tuple(self._flights.items()):
            if isinstance(running := self._attempts[place], Running):
                self._look(place, running, flight, now)

    def _look(self, place: int, running: Running, flight: Flight, now: float) -> None:
        """Note the result of an attempt; where it has none yet its signs of life, or its silence."""
        if not flight.task.done():
            self._attempts[place] = replace(running, alive=flight.pulse.at)
            flight.judge(self._resilience, now)
            return
        result = result_of(flight.task, running.candidate)
        if isinstance(result, Begun):
            flight.begun = result
            self._resilience.began(flight.permit, now)
            self._attempts[place] = Began(running.candidate, running.started, now, running.why)
        else:
            del self._flights[place]
            self._resilience.record(flight.permit, result, now)
            rescued = self._chain.is_rescued(running.candidate, result)
            self._attempts[place] = Ended(running.candidate, running.started, now, result, running.why, rescued=rescued)

    def _close(self, trace: Sequence[Ended | Began], now: float) -> None:
        """End the race: hand back the permits of attempts that are cut off, but let probes and witnesses run on."""
        until = self._chain.deadline.answer_by
        for place, flight in tuple(self._flights.items()):
            ended, permit = trace[place], flight.permit
            fair_s = self._chain.usual_fair_s(ended.candidate.tier)
            flight.judge(self._resilience, now)
            if flight.begun is None and (permit.probe or (until > now and self._resilience.runs_on(permit))):
                del self._flights[place]
                losers.start(run_on(flight, self._resilience, until, fair_s))
            else:  # the caller's deadline is no measure of a model
                outcome = ended.outcome if isinstance(ended, Ended) and now - ended.started >= fair_s else GIVEN_UP
                self._resilience.record(permit, outcome, now)


def _problem(rejected: Rejected) -> Problem:
    """Return a rejection as its caller is told."""
    if rejected == NO_SUCH_MODEL:
        message, accepted = "does not exist", "one of those in GET /v1/models"
    else:
        message, accepted = f"was refused by the model: {rejected.reason.rstrip('.')}", "what it takes"
    return Problem(rejected.field, message, accepted, status_of_code(rejected.code), code=rejected.code)


_ITS_TURN = frozenset({Why.NEXT, Why.CONTINUE})
"""Reasons to ask the first candidate of a chain."""

_EARLY = frozenset({Why.HEDGE, Why.FAILOVER, Why.BESIDE_PROBE})
"""Reasons to ask a candidate before its turn."""

MAX_READY_ATTEMPTS = 32
"""Attempts of one request on candidates that have become ready: a trace has a bound."""

NO_PLACE_RETRY_AFTER_S = 1.0
"""Seconds after which a request may be repeated that found no place to wait for a model."""

READY_PAUSES = Backoff(first_s=0.1, longest_s=2.0)
"""The pauses before such an attempt is repeated."""
