"""What a replica shows of a model that is at work, and of one that loads."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.execution.pulse import sign_of_life
from deployments.formats import LoadProgress
from deployments.policy.outcome import Answered, Finished, Outcome, StreamItem
from deployments.policy.serving_state import ServingState
from deployments.replica.replica import SingleReplica
from tests.fakes import a_request


class Thinking:
    """Shows twice that it is at work, and answers once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()

    async def start(self, request: Any, budget_s: float) -> Outcome:
        for _ in range(2):
            sign_of_life()
            await asyncio.sleep(0)
        await self.may.wait()
        return Answered("at last")

    def describe(self) -> dict[str, Any]:
        return {}

    def stalled_s(self) -> float:
        return 0.0


async def test_signs_of_life_before_the_first_content_of_a_stream_are_passed_on_as_empty_texts() -> None:
    model = Thinking()
    served = SingleReplica("m", lambda: model, 30.0, 60.0)
    await served.check_health()
    stream = served.stream(a_request("Hello"), 10.0)
    signs = [await anext(stream)]
    model.may.set()
    *rest, answer, end = [item async for item in stream]

    assert set(signs + rest) == {""}
    assert (answer, end) == ("at last", Finished())


async def test_a_stream_that_is_given_up_before_its_first_content_cancels_the_model() -> None:
    model = Thinking()
    served = SingleReplica("m", lambda: model, 30.0, 60.0)
    await served.check_health()
    stream = served.stream(a_request("Hello"), 10.0)
    assert await anext(stream) == ""
    (waiting,) = [task for task in asyncio.all_tasks() if "_start" in repr(task.get_coro())]
    await stream.aclose()

    assert waiting.cancelled()


class Beginning(Thinking):
    """Has begun its answer at once; counts the turns of the loop from then on, and calls `leave` in one of them."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns, self.closed = turns, False
        self.leave: Callable[[], Any] = print
        self.text = self._write()

    async def _write(self) -> AsyncGenerator[StreamItem, None]:
        try:
            yield "at"
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def start(self, request: Any, budget_s: float) -> Begun:  # type: ignore[override]
        first = await anext(self.text)
        self._count(self.turns)
        return Begun(first, self.text)  # type: ignore[arg-type]

    def _count(self, left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(self._count, left - 1)
        else:
            self.leave()


@pytest.mark.parametrize("turns", range(6))
async def test_whoever_leaves_as_an_answer_begins_leaves_no_stream_of_the_model_open(turns: int) -> None:
    model = Beginning(turns)
    served = SingleReplica("m", lambda: model, 30.0, 60.0)
    await served.check_health()

    async def read() -> None:
        async with aclosing(served.stream(a_request("Hello"), 10.0)) as stream:
            async for _ in stream:
                pass

    reading = asyncio.create_task(read())
    model.leave = reading.cancel
    await asyncio.wait({reading}, timeout=5.0)
    await asyncio.sleep(0.01)

    assert (reading.cancelled(), model.closed) == (True, True)


async def test_a_replica_tells_what_its_load_is_doing() -> None:
    progress, loaded = LoadProgress(), threading.Event()
    assert progress.tell() == "loading its weights, 0 s so far"
    progress.tell, progress.last_line = (lambda: "its server is started, 3 s so far"), (lambda: "5 %")
    served = SingleReplica("m", lambda: loaded.wait() and Thinking(), 30.0, 60.0, progress)  # type: ignore[arg-type,return-value]

    told = {"state": "loading", "reason": "its server is started, 3 s so far", "last_line": "5 %"}
    assert await served.describe() == await served.record_routing_stats() == told
    loaded.set()
    await served.check_health()
    assert await served.record_routing_stats() == {}


async def test_a_replica_whose_server_is_started_again_says_that_it_takes_no_requests_and_nothing_that_changes() -> (
    None
):
    class Restarting(Thinking):
        """Its server is started again."""

        def describe(self) -> dict[str, Any]:
            return {"state": ServingState.LOADING, "reason": "3 s so far"}

    served = SingleReplica("m", Restarting, 30.0, 60.0)
    await served.check_health()

    told = await served.record_routing_stats()
    assert told == {"state": "loading"}
    assert type(told["state"]) is str, "the controller has none of our classes"
