"""Time for tests of code that runs in threads and processes: a clock that stands still, and a wait for a condition."""

import asyncio
from collections.abc import Callable

WAIT_S = 30.0
"""How long a test waits for another thread or process before it fails."""


class FakeClock:
    """A clock that only a test moves.

    Attributes:
        now: what it shows, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], bool]) -> None:
    """Wait until another thread or process has brought `condition` about."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - nothing wakes this loop
            await asyncio.sleep(0.005)
