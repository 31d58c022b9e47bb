"""The trace of one request: a span for the request, one for each attempt, and its context for whoever is called.

The spans are made when the request has ended, of the trace that every answer has: while it runs, only the id of each
attempt's span is drawn, as whoever is called has to know it. A request that is not traced has none of this.
"""

import random
import time

from msgspec.structs import replace

from deployments.execution.attempt import Begun, ModelClient
from deployments.execution.clock import loop_time
from deployments.execution.execution import Execution
from deployments.observability import gen_ai
from deployments.observability.metrics import UNKNOWN, Known
from deployments.observability.spans import SpanFacts, SpanKind, exporter_to, new_span_id, new_trace_id
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended
from deployments.policy.outcome import Outcome
from deployments.policy.trace_context import TraceContext
from deployments.request import InferenceRequest
from deployments.request.operation_name import operation_of
from deployments.request.trace_headers import CALLERS_TRACE
from deployments.request.turns import quote
from deployments.settings.traces import TraceSettings


def begin_trace(
    settings: TraceSettings, request: InferenceRequest, request_id: str, asked: str, started: float, known: Known
) -> "RequestTrace | None":
    """Return the trace of a request, which arrived at `started`; `None` where it is not traced."""
    if not settings.endpoint:
        return None
    caller = CALLERS_TRACE.get()
    follows = caller is not None and settings.follow_callers
    if not (caller.sampled if caller is not None and follows else random.random() < settings.share):  # noqa: S311 - no secret
        return None
    return RequestTrace(settings, caller, request, request_id, asked if known(asked) else UNKNOWN, started, known)


class _Traced:
    """The client of a candidate, whose attempts get the context of a span of their own."""

    def __init__(self, trace: "RequestTrace", candidate: Candidate, client: ModelClient) -> None:
        self._trace, self._candidate, self._client = trace, candidate, client

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make the attempt."""
        return await self._client.start(replace(request, trace=self._trace.launch(self._candidate)), budget_s)


class RequestTrace:
    """The trace of one request that is traced."""

    def __init__(
        self,
        settings: TraceSettings,
        caller: TraceContext | None,
        request: InferenceRequest,
        request_id: str,
        asked: str,
        started: float,
        known: Known,
    ) -> None:
        """Begin the span of a request; `caller` is the span that it is a part of."""
        self._settings, self._request, self._asked, self._known = settings, request, asked, known
        self._operation = operation_of(request)
        self._parent = caller.span_id if caller else ""
        trace_id, state = (caller.trace_id, caller.state) if caller else (new_trace_id(), "")
        self._own = TraceContext(trace_id, new_span_id(), sampled=True, state=state, endpoint=settings.endpoint)
        self._started = started
        self._epoch_ns = time.time_ns() - int(loop_time() * 1e9)
        self._launched: list[tuple[Candidate, float, str]] = []
        self._attributes = {
            **gen_ai.of_model(self._operation, asked),
            "gen_ai.request.stream": request.stream,
            "neverblank.request_id": request_id,
            **({"gen_ai.request.max_tokens": request.parameters.max_tokens} if request.parameters.max_tokens else {}),
        }

    def of(self, execution: Execution) -> Execution:
        """Return `execution` with a context for each attempt."""
        client_of = execution.client_of
        return replace(execution, client_of=lambda candidate: _Traced(self, candidate, client_of(candidate)))

    def launch(self, candidate: Candidate) -> TraceContext:
        """Return the context of an attempt that starts now."""
        span_id = new_span_id()
        self._launched.append((candidate, loop_time(), span_id))
        return replace(self._own, span_id=span_id, model=candidate.model)

    def began(self) -> None:
        """The first content of a stream is there."""
        self._attributes["gen_ai.response.time_to_first_chunk"] = loop_time() - self._started

    def answered(self, answer: Answer) -> None:
        """Send the spans of a request that has its answer."""
        for attempt in answer.attempts:
            self._send_attempt(attempt)
        self._attributes |= {
            "gen_ai.response.model": answer.model,
            "gen_ai.response.finish_reasons": [answer.finish_reason],
            **gen_ai.of_usage(answer.usage),
            "neverblank.served_by": answer.served_by.value,
            "neverblank.degraded": answer.degraded,
        }
        if self._settings.content:
            asked = quote(self._request, gen_ai.MAX_CONTENT_CHARACTERS)
            self._attributes["gen_ai.input.messages"] = gen_ai.of_text("user", asked)
            self._attributes["gen_ai.output.messages"] = gen_ai.of_text("assistant", str(answer.result))
        self._send_own("last_resort" if answer.served_by == "last_resort" else "")

    def ended(self, error: str) -> None:
        """Send the span of a request that has no answer, and why: `rejected`, `abandoned`."""
        self._send_own(error)

    def _send_own(self, error: str) -> None:
        if error:
            self._attributes["error.type"] = error
        name = f"{self._operation} {self._asked}"
        ends = self._at(loop_time())
        began = self._at(self._started)
        own = SpanFacts(name, SpanKind.SERVER, self._own, self._parent, began, ends, self._attributes, error)
        exporter_to(self._settings.endpoint).send(own)

    def _send_attempt(self, attempt: Ended) -> None:
        model = attempt.candidate.model if self._known(attempt.candidate.model) else UNKNOWN
        attributes, error = gen_ai.of_attempt(self._operation, attempt, model, content=self._settings.content)
        exporter_to(self._settings.endpoint).send(
            SpanFacts(
                f"{self._operation} {model}",
                SpanKind.CLIENT,
                replace(self._own, span_id=self._span_id_of(attempt)),
                self._own.span_id,
                self._at(attempt.started),
                self._at(attempt.ended),
                attributes,
                error,
            )
        )

    def _span_id_of(self, attempt: Ended) -> str:
        """Return the id that the attempt was launched with; a new one where it was refused before.

        A candidate is asked again only once its attempt has ended, so the first launch since its start is its own.
        """
        for candidate, launched, span_id in self._launched:
            if candidate == attempt.candidate and attempt.started <= launched <= attempt.ended:
                return span_id
        return new_span_id()

    def _at(self, moment: float) -> int:
        return self._epoch_ns + int(moment * 1e9)
