"""Supervises the background tasks of a router: one that ends is logged, and restarted after a growing pause."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.execution.cancellation import is_own_cancellation
from deployments.observability import log
from deployments.policy.backoff import Backoff

RESTARTS = Backoff(first_s=0.1, longest_s=5.0)
"""The pauses before a task is restarted."""

_STEADY_S = 60.0
"""Seconds that a task has to run to be restarted after the shortest pause again."""


@dataclass(slots=True)
class _Watched:
    """The state of one task: its ends so far, those in quick succession, the last reason, and whether it runs."""

    ends: int = 0
    in_a_row: int = 0
    reason: str = ""
    running: bool = False


class Supervisor:
    """Runs background tasks, and restarts each one that ends."""

    def __init__(self, tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Supervise `tasks`, by name; each is meant to run for ever."""
        self._tasks = dict(tasks)
        self._watched = {name: _Watched() for name in tasks}

    async def run(self) -> None:
        """Run all tasks until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._tasks:
                group.create_task(self._keep(name), name=name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return for each task whether it runs, how often it has ended, and the last reason, for `/status`."""
        return {
            name: {"running": watched.running, "ends": watched.ends, "reason": watched.reason}
            for name, watched in self._watched.items()
        }

    async def _keep(self, name: str) -> None:
        watched, clock = self._watched[name], asyncio.get_running_loop().time
        while True:
            started = clock()
            watched.running = True
            ended_with: BaseException | None = None
            try:
                await self._tasks[name]()
            except asyncio.CancelledError as error:
                if is_own_cancellation():
                    raise
                ended_with = error  # something that the task awaited was cancelled
            except Exception as error:  # noqa: BLE001 - any error: the task is logged and restarted
                ended_with = error
            finally:
                watched.running = False
            watched.reason = "it came to an end" if ended_with is None else f"{type(ended_with).__name__}: {ended_with}"
            watched.ends += 1
            log.task_ended(name, watched.reason, ended_with)
            watched.in_a_row = 1 if clock() - started >= _STEADY_S else watched.in_a_row + 1
            await asyncio.sleep(RESTARTS.pause_s(watched.in_a_row))
