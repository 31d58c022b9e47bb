"""A bounded channel from a thread to the event loop: a reader that stops reading makes the writer wait."""

import asyncio
import threading
from collections.abc import AsyncIterator

_CAPACITY = 64
_POLL_S = 0.1
"""How often a writer that waits for room checks whether the reader has gone."""


class Channel:
    """Texts written by one thread and read in the event loop that made the channel."""

    def __init__(self, given_up: threading.Event) -> None:
        """Make an open channel; once `given_up` is set, writes are dropped."""
        self._loop = asyncio.get_running_loop()
        self._given_up = given_up
        self._room = threading.Semaphore(_CAPACITY)
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, text: str) -> None:
        """Write from the thread; blocks while the channel is full."""
        while not self._room.acquire(timeout=_POLL_S):
            if self._given_up.is_set():
                return
        self._loop.call_soon_threadsafe(self._texts.put_nowait, text)

    def close(self) -> None:
        """Mark the end of the texts; to be called in the event loop."""
        self._texts.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the texts; those that wait together are joined to one."""
        closed = False
        while not closed and (text := await self._texts.get()) is not None:
            taken = [text]
            while not closed and not self._texts.empty():
                more = self._texts.get_nowait()
                if more is None:
                    closed = True
                else:
                    taken.append(more)
            self._room.release(len(taken))
            yield "".join(taken)
