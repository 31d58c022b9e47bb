"""The time that a router goes by. L1: no I/O, no Ray."""

import asyncio
from collections.abc import Callable


class LoopClock:
    """The clock of the event loop on which it is first read; whoever holds one lives on one loop.

    Until Python 3.12 `asyncio.get_running_loop` asks the kernel for the process's id, every time: 4 µs where system
    calls are slow, and there were six of them in a request.
    """

    def __init__(self) -> None:
        """Belong to no loop yet."""
        self._time: Callable[[], float] | None = None

    def __call__(self) -> float:
        """Now, in seconds."""
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()
