"""An event loop in a thread of its own, for asynchronous code that is not ours.

On the replica's loop, an `async def` that computes would hold up health checks and every other request. Ray Serve can
run a replica's code in a thread, too, but then collects what a stream yields in a queue without bounds: a model that
streams is to be held up by a reader that does not read.
"""

import asyncio
import inspect
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

_ROOM = 16
"""Items that are made before somebody takes the first. Threads wake each other for several at once, where there are."""


class UserLoop:
    """Runs coroutines and asynchronous generators for another event loop. Started by its first use."""

    def __init__(self, name: str) -> None:
        """Be ready; `name` is the thread's."""
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, make: Callable[[], Awaitable[T]]) -> T:
        """Await what `make` gives, there; cancelling this cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(make), self._started()))

    async def iterate(self, make: Callable[[], Any]) -> AsyncGenerator[Any, None]:
        """Iterate over what `make` gives, there, at most `_ROOM` items ahead; closing this closes it.

        Args:
            make: gives an asynchronous iterator, or an awaitable of one.
        """
        here, there = asyncio.get_running_loop(), self._started()
        room = asyncio.Semaphore(_ROOM)
        items: deque[Any] = deque()
        arrived = asyncio.Event()

        async def pump() -> None:
            made = make()
            iterator: AsyncIterator[Any] = aiter(await made if inspect.isawaitable(made) else made)
            try:
                async for item in iterator:
                    await room.acquire()
                    items.append(item)
                    if len(items) == 1:  # who takes some takes all: only a first one is news
                        here.call_soon_threadsafe(arrived.set)
            finally:
                if isinstance(iterator, AsyncGenerator):
                    await iterator.aclose()

        def make_room(places: int) -> None:
            for _ in range(places):
                room.release()

        pumping = asyncio.run_coroutine_threadsafe(pump(), there)
        ended = asyncio.wrap_future(pumping)
        ended.add_done_callback(lambda _: arrived.set())
        taken = 0
        try:
            while items or not ended.done():
                await arrived.wait()
                arrived.clear()
                while items:
                    yield items.popleft()
                    taken += 1
                    if taken == _ROOM // 2:
                        there.call_soon_threadsafe(make_room, taken)
                        taken = 0
            await ended
        finally:
            pumping.cancel()
            if ended.done() and not ended.cancelled():
                ended.exception()  # has been raised above, or nobody reads on

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True).start()
            # A model that a pool has put out takes its thread along.
            weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
        return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
