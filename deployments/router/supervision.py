"""Watches what a router does in the background: a task that ends is logged, and started again after a growing pause."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.observability import log

PAUSES_S = (0.1, 1.0, 5.0)
"""Pauses before a task is started again; the last one holds from then on."""

_STEADY_S = 60.0
"""A task that has run for so long begins again with the shortest pause."""


@dataclass(slots=True)
class _Watched:
    """One task: how often it has ended, and with what at last."""

    ends: int = 0
    in_a_row: int = 0
    reason: str = ""
    running: bool = False


class Supervisor:
    """Runs tasks for as long as it is run itself."""

    def __init__(self, tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Watch over `tasks`, by their names: each is meant to run for ever."""
        self._tasks = dict(tasks)
        self._watched = {name: _Watched() for name in tasks}

    async def run(self) -> None:
        """Run all of them until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._tasks:
                group.create_task(self._keep(name), name=name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """For `/status`: whether each runs, how often it has ended, and why at last."""
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
                if _is_ours():
                    raise
                ended_with = error  # what it waited for was cancelled
            except Exception as error:  # noqa: BLE001 - whatever it is: the task is logged and started again
                ended_with = error
            finally:
                watched.running = False
            watched.reason = "it came to an end" if ended_with is None else f"{type(ended_with).__name__}: {ended_with}"
            watched.ends += 1
            log.task_ended(name, watched.reason, ended_with)
            watched.in_a_row = 1 if clock() - started >= _STEADY_S else watched.in_a_row + 1
            await asyncio.sleep(PAUSES_S[min(watched.in_a_row, len(PAUSES_S)) - 1])


def _is_ours() -> bool:
    """Whether the running task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
