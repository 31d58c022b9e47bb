"""A model of every format says for how long its work has not advanced, whoever has asked for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.formats.calling import CalledModel
from deployments.formats.python import PythonModel
from tests.clock import WAIT_S, FakeClock, until
from tests.fakes import a_request, begun_stream


class Gate:
    """A call waits at it until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def hold(self) -> str:
        self.reached.set()
        assert self.open.wait(WAIT_S)
        return "fine"


class Plain:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def infer(self, inputs: dict[str, Any]) -> str:
        return self.gate.hold()


class Awaiting(Plain):
    """Blocks its event loop, and with it every other call."""

    async def infer(self, inputs: dict[str, Any]) -> str:  # type: ignore[override]
        return self.gate.hold()


class PlainStream(Plain):
    def stream(self, inputs: dict[str, Any]) -> Iterator[str]:
        yield self.gate.hold()


class AwaitingStream(Plain):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[str]:
        yield self.gate.hold()


def python(target: Callable[[Gate], Any]) -> Callable[[Gate, FakeClock], PythonModel]:
    return lambda gate, clock: PythonModel("tests:T", target(gate), threads=2, clock=clock)


MODELS: dict[str, Callable[[Gate, FakeClock], Any]] = {
    "plain": python(Plain),
    "async": python(Awaiting),
    "plain stream": python(PlainStream),
    "async stream": python(AwaitingStream),
    "called": lambda gate, clock: CalledModel(lambda _: gate.hold(), {}, 2, clock),
}


@pytest.mark.parametrize("kind", MODELS)
async def test_a_call_that_hangs_has_stalled_until_it_ends_though_its_caller_has_gone(kind: str) -> None:
    gate, clock = Gate(), FakeClock()
    model = MODELS[kind](gate, clock)
    request = replace(a_request(), stream=kind.endswith("stream"))
    asking = asyncio.ensure_future(model.start(request, 1.0))
    assert await asyncio.to_thread(gate.reached.wait, WAIT_S)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    clock.now = 100.0

    assert model.stalled_s() == 100.0
    gate.open.set()
    await until(lambda: model.stalled_s() == 0.0)


async def test_a_loop_that_something_else_blocks_has_stalled_work_though_the_work_never_began() -> None:
    gate, clock = Gate(), FakeClock()

    class Scheduling:
        async def infer(self, inputs: dict[str, Any]) -> str:
            asyncio.get_running_loop().call_later(0.01, gate.hold)
            return "fine"

    model = PythonModel("tests:T", Scheduling(), threads=1, clock=clock)
    await model.start(a_request(), 1.0)
    assert await asyncio.to_thread(gate.reached.wait, WAIT_S)
    asking = asyncio.ensure_future(model.start(a_request(), 1.0))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    clock.now = 100.0

    assert model.stalled_s() == 100.0
    gate.open.set()
    await until(lambda: model.stalled_s() == 0.0)


async def test_an_asynchronous_call_that_is_cancelled_is_no_sign_of_life_of_the_others() -> None:
    clock = FakeClock()

    class Waiting:
        async def infer(self, inputs: dict[str, Any]) -> str:
            await asyncio.Event().wait()
            return "never"

    model = PythonModel("tests:T", Waiting(), threads=1, clock=clock)
    first, second = (asyncio.ensure_future(model.start(a_request(), 1.0)) for _ in range(2))
    await until(lambda: model._progress._under_way == 2)
    clock.now = 100.0

    first.cancel()
    await until(lambda: model._progress._under_way == 1)

    assert model.stalled_s() == 100.0
    second.cancel()
    await until(lambda: model.stalled_s() == 0.0)


class Endless(Plain):
    """Writes for as long as somebody reads."""

    def stream(self, inputs: dict[str, Any]) -> Iterator[str]:
        while True:
            yield "x"


class AsynchronousEndless(Plain):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[str]:
        while True:
            yield "x"
            await asyncio.sleep(0)


@pytest.mark.parametrize("target", [Endless, AsynchronousEndless])
async def test_a_stream_that_waits_for_a_slow_reader_is_no_work_until_the_reader_goes_on(target: type[Plain]) -> None:
    clock = FakeClock()
    model = PythonModel("tests:T", target(Gate()), threads=1, clock=clock)
    async with aclosing(await begun_stream(model, a_request())) as begun:
        await until(lambda: model._progress._under_way == 0)
        clock.now = 100.0
        assert model.stalled_s() == 0.0

        for _ in range(100):
            await begun.next()
    await until(lambda: model._progress._under_way == 0)
