"""An event loop whose time passes only by being waited for, without a system call and without a thread.

looptime, which the other tests use, polls a real selector, and lets some forty empty turns pass at each step of its
time: ten thousand runs have to do without. A jump of the clock needs a clock that can be moved, too.
"""

import asyncio
from collections.abc import Callable
from typing import Any

MOST_TURNS = 200_000
"""Turns of one loop after which something spins."""


class NothingLeftError(Exception):
    """Somebody waits for what can never happen, or waits again and again without any time passing."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop of one run.

    Attributes:
        tasks: every task that was made.
        complaints: what went to the exception handler of the loop.
        jumps: when the loop was held up, and for how many seconds.
    """

    def __init__(self, most_turns: int = MOST_TURNS) -> None:
        super().__init__()
        self._most_turns = most_turns
        self.tasks: list[asyncio.Task[Any]] = []
        self.complaints: list[dict[str, Any]] = []
        self.jumps: list[tuple[float, float]] = []
        self._now = 0.0
        self._turns = 0
        self._selector = self  # of which the base class asks nothing but `select`
        self.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.set_task_factory(self._noted)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass as if something had held up the loop for so long."""
        self.jumps.append((self._now, seconds))
        self._now += seconds

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for the next timer."""
        self._turns += 1
        if timeout is None:
            raise NothingLeftError("everybody waits, and nothing is left that could happen")
        if self._turns > self._most_turns:
            raise NothingLeftError(f"{self._most_turns} turns of the loop: something spins at {self._now:.3f} s")
        self._now += timeout
        return []

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Compute at once, and give the result in a later turn."""
        future = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the future's
            self.call_later(_THREAD_S, _fail, future, error)
        else:
            self.call_later(_THREAD_S, _give, future, result)
        return future

    def _noted(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        self.tasks.append(task)
        return task

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No other thread needs to wake the loop."""


_THREAD_S = 0.001


def _give(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
