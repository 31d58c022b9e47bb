"""A replica sends a span of its own for an attempt that the router traces."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.execution.attempt import Begun, begin
from deployments.formats import ServedModel
from deployments.policy.outcome import Answered, Failed, Finished, Outcome, Refused, StreamItem, Usage
from deployments.policy.trace_context import TraceContext
from deployments.replica.answers import AnswerCount
from deployments.replica.replica import Replica
from deployments.request import InferenceRequest
from tests.fakes import a_request
from tests.otlp import receiving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Model:
    """Streams two words, or fails; keeps what it was asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked: list[InferenceRequest] = []

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        self.asked.append(request)
        return Failed("it broke") if self.fails else await begin(self._items())

    async def _items(self) -> AsyncGenerator[StreamItem, None]:
        yield "Hel"
        yield "lo"
        yield Finished(usage=Usage(3, 5))


class OneModel(Replica):
    """A replica of that model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.answers = AnswerCount()

    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        return "m", self.model

    async def describe(self) -> dict[str, Any]:
        return {}

    async def check_health(self) -> None:
        """Be well."""


def traced(endpoint: str, *, stream: bool) -> InferenceRequest:
    return replace(a_request(), stream=stream, trace=TraceContext(TRACE, SPAN, True, "", endpoint, "m"))


async def answer(replica: Replica, request: InferenceRequest) -> Any:
    if not request.stream:
        return await replica.infer(request, 10.0)
    async with aclosing(replica.stream(request, 10.0)) as items:
        return [item async for item in items]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_an_attempt_is_a_span_with_its_outcome_below_that_of_the_router(*, stream: bool, fails: bool) -> None:
    model = Model(fails=fails)
    with receiving() as receiver:
        given = await answer(OneModel(model), traced(receiver.url, stream=stream))
        (span,) = receiver.of(TRACE, 1)

    assert given == await answer(OneModel(Model(fails=fails)), replace(a_request(), stream=stream))
    assert (span.name, span.kind, span.parent, span.failed) == ("generate m", "server", SPAN, fails)
    assert span.attributes.get("error.type") == ("failed" if fails else None)
    assert span.attributes.get("gen_ai.usage.output_tokens") == (None if fails else 5)
    assert ("gen_ai.response.time_to_first_chunk" in span.attributes) == (stream and not fails)
    (asked,) = model.asked
    assert asked.trace is not None
    assert asked.trace.span_id == span.span_id, "whoever the model calls is below its span"


async def test_a_stream_that_nobody_reads_to_its_end_is_a_span_that_was_cancelled() -> None:
    with receiving() as receiver:
        items = OneModel(Model()).stream(traced(receiver.url, stream=True), 10.0)
        assert await anext(items) == "Hel"
        await items.aclose()
        (span,) = receiver.of(TRACE, 1)

    assert span.attributes["error.type"] == "cancelled"


async def test_an_answer_of_a_request_that_is_not_traced_needs_no_endpoint() -> None:
    assert isinstance(await answer(OneModel(Model()), a_request()), Answered)
