"""Background tasks of a router: whatever ends one, it is told and started again."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from deployments.router.supervision import Supervisor

pytestmark = pytest.mark.looptime


def ends_with(ends: list[BaseException | None], started: list[float]) -> Callable[[], Awaitable[None]]:
    """A task that ends in these ways, one after the other, and then runs for ever."""

    async def task() -> None:
        started.append(asyncio.get_running_loop().time())
        if not ends:
            await asyncio.Event().wait()
        end = ends.pop(0)
        if end is not None:
            raise end

    return task


async def supervise(seconds: float, tasks: dict[str, Callable[[], Awaitable[None]]]) -> Supervisor:
    supervisor = Supervisor(tasks)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    return supervisor


@pytest.mark.parametrize(
    "end", [RuntimeError("boom"), asyncio.CancelledError(), None], ids=["raises", "cancelled", "returns"]
)
async def test_a_task_that_ends_is_started_again_and_told(
    end: BaseException | None, events: list[dict[str, Any]]
) -> None:
    started: list[float] = []

    supervisor = await supervise(1.0, {"discovery": ends_with([end], started)})

    assert len(started) == 2
    assert supervisor.describe()["discovery"]["ends"] == 1
    assert [(event["event"], event["task"]) for event in events] == [("task_ended", "discovery")]


async def test_the_pause_grows_while_a_task_keeps_ending() -> None:
    started: list[float] = []

    await supervise(30.0, {"a": ends_with([RuntimeError()] * 8, started)})

    pauses = [after - before for before, after in pairwise(started)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


async def test_a_task_that_ends_takes_no_other_with_it() -> None:
    broken: list[float] = []
    steady: list[float] = []

    await supervise(10.0, {"a": ends_with([RuntimeError()] * 9, broken), "b": ends_with([], steady)})

    assert len(broken) > 1
    assert len(steady) == 1
