"""Short work in the background that nobody waits for, such as closing what is no longer asked."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from deployments.observability import log


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
