"""The span of what a replica does for one attempt, where the router traces the request."""

import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from msgspec.structs import replace

from deployments.observability import gen_ai, log
from deployments.observability.spans import SpanFacts, SpanKind, exporter_to, new_span_id
from deployments.policy.outcome import Answered, Finished, Outcome, StreamEnd, StreamItem, StreamPart
from deployments.policy.trace_context import TraceContext
from deployments.request import InferenceRequest
from deployments.request.operation_name import operation_of


def begin_span(request: InferenceRequest) -> "GenerationSpan | None":
    """Return the span of an attempt that begins; `None` where it is not traced, or has its span in this replica."""
    if request.trace is None or not request.trace.endpoint:
        return None
    return GenerationSpan(request, request.trace)


class GenerationSpan:
    """The span of one attempt in this replica.

    Attributes:
        within: the request as it is answered within this span.
    """

    def __init__(self, request: InferenceRequest, context: TraceContext) -> None:
        """Begin now; `context` is that of the attempt."""
        self._context, self._model = context, context.model
        self._operation = operation_of(request)
        self._started = time.time_ns()
        self._first_ns = 0
        self._id = new_span_id()
        self.within = replace(request, trace=replace(context, span_id=self._id, endpoint=""))

    async def whole(self, answer: Awaitable[Outcome]) -> Outcome:
        """Return what `answer` gives, and send the span."""
        outcome: Outcome | None = None
        try:
            outcome = await answer
            return outcome
        finally:
            self._end(outcome)

    async def items(self, given: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[StreamItem, None]:
        """Give what is `given`, and send the span."""
        end: StreamEnd | None = None
        try:
            async with aclosing(given):
                async for item in given:
                    if not isinstance(item, StreamPart):
                        end = item
                    elif item and not self._first_ns:
                        self._first_ns = time.time_ns()
                    yield item
        finally:
            self._end(end)

    def _end(self, outcome: Outcome | Finished | None) -> None:
        """Send the span; `outcome` is `None` where the attempt was cancelled. A bug in here costs no answer."""
        try:
            self._send(outcome)
        except Exception as error:  # noqa: BLE001 - a bug of ours
            log.internal_error("traces", self._model, error)

    def _send(self, outcome: Outcome | Finished | None) -> None:
        attributes = gen_ai.of_model(self._operation, self._model)
        error = ""
        if isinstance(outcome, (Answered, Finished)):
            attributes["gen_ai.response.finish_reasons"] = [outcome.finish_reason]
            attributes |= gen_ai.of_usage(outcome.usage)
        else:
            error = "cancelled" if outcome is None else outcome.name
            attributes["error.type"] = error
        if self._first_ns:
            attributes["gen_ai.response.time_to_first_chunk"] = (self._first_ns - self._started) / 1e9
        exporter_to(self._context.endpoint).send(
            SpanFacts(
                f"generate {self._model}",
                SpanKind.SERVER,
                replace(self._context, span_id=self._id),
                self._context.span_id,
                self._started,
                time.time_ns(),
                attributes,
                error,
            )
        )
