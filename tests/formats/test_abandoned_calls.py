"""A thread cannot be stopped: a call whose caller has gone works on, and its place is free again only then."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.execution.attempt import Begun
from deployments.formats.python import PythonModel
from deployments.policy.outcome import Answered
from deployments.request import InferenceRequest
from tests.fakes import a_request

WAIT_S = 10.0


def streaming(text: str) -> InferenceRequest:
    return replace(a_request(text), stream=True)


class Blocking:
    """Holds the call with the text `hold` until it is let go.

    Attributes:
        calls: the texts of the calls that have begun.
        returned: the held call has come to its end.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.begun, self.let_go, self.returned = threading.Event(), threading.Event(), threading.Event()

    def infer(self, inputs: dict[str, Any]) -> Any:
        self.calls.append(inputs["text"])
        if inputs["text"] == "hold":
            self.begun.set()
            self.let_go.wait(WAIT_S)
            self.returned.set()
        return f"answer to {inputs['text']}"

    def stream(self, inputs: dict[str, Any]) -> Iterator[str]:
        yield self.infer(inputs)


class AsyncStreaming(Blocking):
    """The same, with a stream that is asynchronous, and blocks its loop."""

    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[str]:  # type: ignore[override]
        yield self.infer(inputs)


async def test_a_call_whose_caller_has_gone_works_on_and_keeps_its_place_until_it_ends() -> None:
    target = Blocking()
    model = PythonModel("tests:Blocking", target, threads=1)
    left = asyncio.create_task(model.start(a_request("hold"), WAIT_S))
    assert await asyncio.to_thread(target.begun.wait, WAIT_S)

    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    next_one = asyncio.create_task(model.start(a_request("Hi"), WAIT_S))
    await asyncio.sleep(0)
    assert (target.calls, target.returned.is_set(), next_one.done()) == (["hold"], False, False)

    target.let_go.set()
    assert await next_one == Answered("answer to Hi")
    assert target.returned.is_set()


async def test_a_call_that_was_given_up_before_it_had_a_place_is_not_begun() -> None:
    target = Blocking()
    model = PythonModel("tests:Blocking", target, threads=1)
    first = asyncio.create_task(model.start(a_request("hold"), WAIT_S))
    assert await asyncio.to_thread(target.begun.wait, WAIT_S)

    second = asyncio.create_task(model.start(a_request("given up"), WAIT_S))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    target.let_go.set()
    await first

    assert await model.start(a_request("Hi"), WAIT_S) == Answered("answer to Hi")
    assert target.calls == ["hold", "Hi"]


@pytest.mark.parametrize("kind", [Blocking, AsyncStreaming])
async def test_a_stream_that_was_given_up_before_it_had_a_place_runs_none_of_the_users_code(
    kind: type[Blocking],
) -> None:
    target = kind()
    model = PythonModel("tests:Blocking", target, threads=1)
    first = asyncio.create_task(model.start(streaming("hold"), WAIT_S))
    assert await asyncio.to_thread(target.begun.wait, WAIT_S)

    second = asyncio.create_task(model.start(streaming("given up"), WAIT_S))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    target.let_go.set()
    await first

    assert isinstance(await model.start(streaming("Hi"), WAIT_S), Begun)
    assert target.calls == ["hold", "Hi"]
