"""Short work in the background that nobody waits for, such as closing what is no longer asked."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from deployments.observability import log


async def close_all(where: str, *closings: Callable[[], Awaitable[None]]) -> None:
    """Call all `closings`, one after the other, whatever any of them raises: each is logged as `internal_error`.

    One that is cancelled ends none of the others: the cancellation is raised once all have been called.

    Args:
        where: whose they are, in the log.
        closings: what closes something, such as `aclose`.
    """

    async def close(closing: Callable[[], Awaitable[None]]) -> None:
        try:
            await closing()
        except Exception as error:  # noqa: BLE001 - any error: what is left has to be closed all the same
            log.internal_error(where, "", error)

    async with AsyncExitStack() as stack:
        for closing in reversed(closings):
            stack.push_async_callback(close, closing)


class Chores:
    """Runs work beside the requests; an error in it is logged as `internal_error`, and costs nobody anything."""

    def __init__(self, where: str) -> None:
        """Begin without any; `where` says in the log whose work it is."""
        self._where = where
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin `work`; an event loop has to run."""
        task = asyncio.get_running_loop().create_task(work, name=self._where)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Wait until all that was begun has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.internal_error(self._where, "", error)
