"""Streams of a user's class: plain or asynchronous, held up and closed by their reader, wrong ones named."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.formats.python import PythonModel
from deployments.policy.outcome import Blank, Failed, Finished, Refused, StreamItem
from deployments.replica.replica import SingleReplica
from deployments.request import InferenceRequest
from tests.fakes import a_request

WAIT_S = 10.0


class Model:
    """Answers at once; those below stream, too."""

    def infer(self, inputs: dict[str, Any]) -> Any:
        return inputs.get("value", "whole")


class Plain(Model):
    def stream(self, inputs: dict[str, Any]) -> Iterator[Any]:
        yield from ("a", "b", "c")


class Asynchronous(Model):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[Any]:
        for piece in ("a", "b", "c"):
            yield piece


class Awaited(Model):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[Any]:
        return Asynchronous().stream(inputs)


class Odd(Model):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[Any]:
        yield "a"
        yield 5


class PlainOdd(Model):
    def stream(self, inputs: dict[str, Any]) -> Iterator[Any]:
        yield "a"
        yield 5


class Raising(Model):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[Any]:
        yield "a"
        raise ValueError("broken")


class PlainRaising(Model):
    def stream(self, inputs: dict[str, Any]) -> Iterator[Any]:
        yield "a"
        raise ValueError("broken")


async def replica(model: Any) -> SingleReplica:
    served = SingleReplica("m", lambda: PythonModel("tests:T", model, threads=2), 30.0, 60.0)
    await served.check_health()
    return served


async def read(model: Any, request: InferenceRequest | None = None) -> tuple[str, StreamItem]:
    served = await replica(model)
    async with (
        asyncio.timeout(WAIT_S),
        aclosing(served.stream(replace(request or a_request(), stream=True), 1.0)) as items,
    ):
        got = [item async for item in items]
    return "".join(str(item) for item in got[:-1]), got[-1]


@pytest.mark.parametrize("model", [Plain, Asynchronous, Awaited])
async def test_a_class_streams_whether_it_is_plain_or_asynchronous(model: type) -> None:
    assert await read(model()) == ("abc", Finished())


@pytest.mark.parametrize("model", [Odd, PlainOdd])
async def test_what_is_no_text_ends_a_stream_as_a_failure_that_names_it(model: type) -> None:
    assert await read(model()) == ("a", Failed("its stream gave a int, which is no text"))


@pytest.mark.parametrize("model", [Raising, PlainRaising])
async def test_what_a_class_raises_ends_its_stream_behind_what_it_had_said(model: type) -> None:
    text, end = await read(model())

    assert text == "a"
    assert isinstance(end, Failed)
    assert end.reason == "ValueError: broken"


async def test_a_class_that_does_not_stream_answers_in_one_piece() -> None:
    assert await read(Model()) == ("whole", Finished())


@pytest.mark.parametrize(("value", "text"), [({"a": 1}, '{"a":1}'), (5, "5")])
async def test_what_is_no_text_is_streamed_as_json(value: Any, text: str) -> None:
    request = InferenceRequest({"value": value}, "", (), "", 30.0)

    assert (await read(Model(), request))[0] == text


async def test_a_class_that_returns_nothing_has_a_blank_stream() -> None:
    assert isinstance((await read(Model(), InferenceRequest({"value": ""}, "", (), "", 30.0)))[1], Blank)


async def test_a_class_is_not_asked_to_carry_on_with_a_text() -> None:
    assert isinstance((await read(Plain(), InferenceRequest({}, "", (), "", 30.0, prefix="It was")))[1], Refused)


class Counting(Model):
    """Counts what it has written, and notes that it was closed."""

    def __init__(self) -> None:
        self.written = 0
        self.closed = threading.Event()


class PlainCounting(Counting):
    def stream(self, inputs: dict[str, Any]) -> Iterator[Any]:
        try:
            for self.written in range(1, 100_000):
                yield "x"
        finally:
            self.closed.set()


class AsynchronousCounting(Counting):
    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[Any]:
        try:
            for self.written in range(1, 100_000):
                yield "x"
                await asyncio.sleep(0)
        finally:
            self.closed.set()


@pytest.mark.parametrize("kind", [PlainCounting, AsynchronousCounting])
async def test_a_reader_that_does_not_read_holds_the_class_up_and_one_that_goes_closes_it(kind: type[Counting]) -> None:
    model = kind()
    served = await replica(model)
    async with aclosing(served.stream(replace(a_request(), stream=True), 1.0)) as items:
        await anext(items)
        written = -1
        while written != model.written:
            written = model.written
            await asyncio.sleep(0.2)
        assert 1 <= written < 1000

    assert await asyncio.to_thread(model.closed.wait, WAIT_S)


async def test_asynchronous_code_that_blocks_does_not_hold_up_the_replica() -> None:
    class Blocking:
        async def infer(self, inputs: dict[str, Any]) -> Any:
            time.sleep(1.0)  # noqa: ASYNC251 - what users do
            return "done"

    served = await replica(Blocking())
    asking = asyncio.ensure_future(served.infer(a_request(), 5.0))
    await asyncio.sleep(0.1)

    assert not asking.done()
    assert (await asking).name == "answered"
