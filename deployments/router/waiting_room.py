"""The queue of requests that wait for a model to become ready: it starts, loads, is being replaced or woken.

The queue is bounded, and ordered by deadline. When a model becomes ready, a few requests at a time are released: all of
them at once would find the model's own queue full. A request that waits for several candidates gets the best one that
is ready, or a better one if that becomes ready within a short grace.
"""

import asyncio
import itertools
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deployments.execution.execution import NotReady
from deployments.observability import log
from deployments.policy.attempt import Candidate
from deployments.router.registered_model import Readiness

GRACE_S = 0.1
"""Seconds for which a ready candidate is held back where a better one might become ready at about the same time."""

AT_A_TIME = 8
"""Requests that are released at a time."""

PAUSE_S = 0.05
"""Seconds between two releases, and between two looks at what is ready."""


@dataclass(order=True, slots=True)
class _Waiting:
    """A request that waits; ordered by deadline, then by arrival."""

    until: float
    number: int
    candidates: Sequence[Candidate] = field(compare=False)
    future: "asyncio.Future[Candidate | NotReady]" = field(compare=False)
    better_until: float | None = field(default=None, compare=False)
    is_told: bool = field(default=False, compare=False)


class WaitingRoom:
    """The waiting room of one router."""

    def __init__(self, readiness_of: Callable[[Candidate], Readiness], places: Callable[[], int]) -> None:
        """Begin empty.

        Args:
            readiness_of: returns whether a candidate can take a request now, soon or never.
            places: returns how many requests may wait at a time.
        """
        self._readiness_of = readiness_of
        self._places = places
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._looking: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    async def wait(self, candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        """Wait until one of `candidates`, best first, is ready.

        Returns:
            The candidate that is ready; `NotReady` where none is by `until`, and at once where all have failed for good
            or no place is free.
        """
        if len(self._waiting) >= self._places():
            return NotReady.NO_PLACE
        loop = asyncio.get_running_loop()
        waiting = _Waiting(until, next(self._numbers), candidates, loop.create_future())
        insort(self._waiting, waiting)
        timer = loop.call_at(until, _give_up, waiting)
        self._look_in(0.0)
        try:
            return await waiting.future
        finally:
            timer.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _look_in(self, seconds: float) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Release requests with a ready candidate, nearest deadline first; look again later while any request waits."""
        self._looking = None
        now = asyncio.get_running_loop().time()
        gone = 0
        for waiting in list(self._waiting):
            if gone == AT_A_TIME:
                break
            try:
                candidate = self._ready_for(waiting, now)
            except Exception as error:  # noqa: BLE001 - a bug of ours: it and the others wait on
                if not waiting.is_told:
                    log.internal_error("waiting", waiting.candidates[0].model, error)
                waiting.is_told = True
                continue
            if candidate is not None and not waiting.future.done():
                waiting.future.set_result(candidate)
                self._waiting.remove(waiting)
                gone += 1
        if self._waiting:
            self._look_in(PAUSE_S)

    def _ready_for(self, waiting: _Waiting, now: float) -> Candidate | NotReady | None:
        """Return what ends the wait; `None` while it goes on."""
        states = [(candidate, self._readiness_of(candidate)) for candidate in waiting.candidates]
        if all(state is Readiness.NEVER for _, state in states):
            return NotReady.NEVER
        ready = next((candidate for candidate, state in states if state is Readiness.NOW), None)
        if ready is None or ready == waiting.candidates[0]:
            return ready
        if waiting.better_until is None:
            waiting.better_until = now + GRACE_S
        return ready if now >= waiting.better_until else None


def _give_up(waiting: _Waiting) -> None:
    if not waiting.future.done():
        waiting.future.set_result(NotReady.TOO_LATE)
