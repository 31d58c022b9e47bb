"""An event loop in a thread of its own, for asynchronous code that is not ours.

On the replica's loop, an `async def` that computes would hold up health checks and every other request. Ray Serve can
run a replica's code in a thread, too, but then collects what a stream yields in a queue without bounds: a reader that
does not read has to hold up a model that streams.

What is handed to the loop is work from that moment until the loop has come to its end. So a loop that is blocked has
work that does not advance, whoever blocks it.
"""

import asyncio
import contextlib
import inspect
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from deployments.generation.progress import Progress

_T = TypeVar("_T")

_ROOM = 16
"""Items that are made before the first is taken. Where there are several, the threads wake each other once for all."""


class UserLoop:
    """Runs coroutines and asynchronous generators for another event loop. Started by its first use."""

    def __init__(self, name: str, progress: Progress) -> None:
        """Be ready.

        Args:
            name: the thread's name.
            progress: hears of all work, and of every item of a stream.
        """
        self._name = name
        self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, make: Callable[[], Awaitable[_T]]) -> _T:
        """Await in the user's loop what `make` gives there; cancelling this cancels it."""
        return await asyncio.wrap_future(self._submit(_awaited(make)))

    async def iterate(self, make: Callable[[], Any]) -> AsyncGenerator[Any, None]:
        """Iterate in the user's loop over what `make` gives there, at most `_ROOM` items ahead; closing this closes it.

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
                    self._progress.advance()
                    with self._progress.held_up() if room.locked() else contextlib.nullcontext():
                        await room.acquire()
                    items.append(item)
                    if len(items) == 1:  # a reader takes all that is there: only the first item has to wake it
                        here.call_soon_threadsafe(arrived.set)
            finally:
                if isinstance(iterator, AsyncGenerator):
                    await iterator.aclose()

        def make_room(places: int) -> None:
            for _ in range(places):
                room.release()

        pumping = self._submit(pump())
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
                ended.exception()  # it has been raised above, or nobody reads on

    def _submit(self, coroutine: Coroutine[Any, Any, _T]) -> "Future[_T]":
        """Hand `coroutine` to the user's loop as a piece of work; cancelling the future cancels it there."""
        loop, progress = self._started(), self._progress
        future: Future[_T] = Future()

        def start() -> None:
            if future.cancelled():  # given up before its turn: nothing of the user's code is run
                coroutine.close()
                progress.end(advanced=False)
                return
            task = loop.create_task(coroutine)
            task.add_done_callback(end)
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(task.cancel) if future.cancelled() else None)

        def end(task: "asyncio.Task[_T]") -> None:
            # Being told to stop says nothing about whether it would have come to its end.
            progress.end(advanced=not task.cancelled())
            if task.cancelled():
                future.cancel()
                return
            error = task.exception()
            if not future.set_running_or_notify_cancel():
                return
            if error:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        progress.begin()
        loop.call_soon_threadsafe(start)
        return future

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


async def _awaited(make: Callable[[], Awaitable[_T]]) -> _T:
    return await make()
