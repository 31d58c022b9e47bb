"""The event loop of a router, and its time."""

import asyncio
from functools import cached_property

SHORTEST_TIMER_S = 1e-4
"""The shortest timer, in seconds. A clock may round a shorter one to nothing, so that it fires again at once."""


class LoopClock:
    """The clock of one event loop: the loop that runs when the clock is first read.

    The loop is cached: until Python 3.12 each `asyncio.get_running_loop` asks the kernel for the process id, which
    takes 4 µs where system calls are slow, and there were six such calls in a request.
    """

    def __call__(self) -> float:
        """Return the time of the loop, in seconds."""
        return self.loop.time()

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return asyncio.get_running_loop()
