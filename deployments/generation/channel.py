"""A bounded channel from a thread to the event loop: a reader that stops reading makes the writer wait."""

import asyncio
import threading
from collections.abc import AsyncIterator

from deployments.generation.progress import Progress

_CAPACITY = 64
_POLL_S = 0.1
"""Seconds between two checks of a waiting writer whether the reader has gone."""


class Channel:
    """Texts written by one thread and read in the event loop that made the channel."""

    def __init__(self, given_up: threading.Event, progress: Progress) -> None:
        """Make an open channel.

        Args:
            given_up: once it is set, writes are dropped.
            progress: of the work that writes; a writer that waits for room is held up.
        """
        self._loop = asyncio.get_running_loop()
        self._given_up = given_up
        self._progress = progress
        self._room = threading.Semaphore(_CAPACITY)
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, text: str) -> None:
        """Write from the thread; blocks while the channel is full."""
        if self._room.acquire(blocking=False) or self._wait_for_room():
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

    def _wait_for_room(self) -> bool:
        """Wait until there is room; `False` if the reader has gone."""
        with self._progress.held_up():
            while not self._room.acquire(timeout=_POLL_S):
                if self._given_up.is_set():
                    return False
        return True
