"""Requests that wait for a server which is started again."""

import asyncio
import threading
from contextlib import suppress


class Comeback:
    """Wakes whoever waits for a server. Any thread may tell that it is back."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until it is told, at most for `timeout_s` seconds."""
        waiting = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(waiting)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiting[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(waiting)

    def tell(self) -> None:
        """Wake everybody who waits."""
        with self._lock:
            waiting = list(self._waiting)
        for loop, event in waiting:
            with suppress(RuntimeError):  # the loop has been closed, and with it nobody waits any more
                loop.call_soon_threadsafe(event.set)
