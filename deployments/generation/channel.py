"""From a thread to the event loop, with room for a few pieces: a reader that does not read stops the writer."""

import asyncio
import threading
from collections.abc import AsyncIterator

_ROOM = 64
_LOOK_S = 0.1
"""How often a writer that waits for room looks whether anybody still wants it."""


class Pipe:
    """Written to from one thread, read in the event loop it was made in."""

    def __init__(self, given_up: threading.Event) -> None:
        """Be open until `close`; once `given_up` is set, what is written is dropped."""
        self._loop = asyncio.get_running_loop()
        self._given_up = given_up
        self._room = threading.Semaphore(_ROOM)
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, piece: str) -> None:
        """Write from the thread; waits for room."""
        while not self._room.acquire(timeout=_LOOK_S):
            if self._given_up.is_set():
                return
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def close(self) -> None:
        """Nothing more is written; called in the event loop."""
        self._pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        """What is written, what waits together in one piece."""
        closed = False
        while not closed and (piece := await self._pieces.get()) is not None:
            taken = [piece]
            while not closed and not self._pieces.empty():
                more = self._pieces.get_nowait()
                if more is None:
                    closed = True
                else:
                    taken.append(more)
            self._room.release(len(taken))
            yield "".join(taken)
