"""The event loop of a router, and its time. L1: no I/O, no Ray."""

import asyncio
from functools import cached_property


class LoopClock:
    """The clock of the event loop on which it is first read; whoever holds one lives on that loop.

    Until Python 3.12 `asyncio.get_running_loop` asks the kernel for the process's id, every time: 4 µs where system
    calls are slow, and there were six of them in a request.
    """

    def __call__(self) -> float:
        """Now, in seconds."""
        return self.loop.time()

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return asyncio.get_running_loop()
