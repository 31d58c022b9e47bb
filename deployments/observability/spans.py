"""Sends finished spans to an OTLP endpoint, over HTTP: a thread does so, behind a bounded queue.

What finds no place in the queue is dropped: an endpoint that hangs or is gone costs nobody anything but its spans. The
library reads what an endpoint demands from the environment, by OpenTelemetry's own names (`OTEL_EXPORTER_OTLP_HEADERS`,
`OTEL_RESOURCE_ATTRIBUTES`). It is imported once an endpoint is set, and not before.
"""

import secrets
import threading
from collections.abc import Mapping
from enum import Enum, auto
from functools import cache
from typing import Any

from msgspec import Struct

from deployments.policy.trace_context import TraceContext

MAX_WAITING = 2048
"""Spans that wait to be sent."""

_EXPORT_S = 5.0
_DELAY_MS = 1000.0
_BATCH = 256


class SpanKind(Enum):
    """What a span stands for: work that was asked for from outside, a call, or work that somebody's call asked for."""

    SERVER = auto()
    CLIENT = auto()
    INTERNAL = auto()


class SpanFacts(Struct, frozen=True):
    """A finished span.

    Attributes:
        name: such as `chat smollm2`; it has no name that a caller made up.
        kind: what it stands for.
        context: its own place.
        parent: the span id of what it is a part of; empty for the first of a trace.
        started_ns: nanoseconds since 1970.
        ended_ns: the same.
        attributes: by their names in OpenTelemetry's conventions.
        error: why it failed; empty where it did not.
    """

    name: str
    kind: SpanKind
    context: TraceContext
    parent: str
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, Any]
    error: str = ""


def new_span_id() -> str:
    """Return a new id of a span."""
    return secrets.token_hex(8)


def new_trace_id() -> str:
    """Return a new id of a trace."""
    return secrets.token_hex(16)


class SpanExporter:
    """Sends spans to one endpoint."""

    def __init__(self, endpoint: str) -> None:
        """Send to `endpoint`, an address such as `http://127.0.0.1:4318/v1/traces`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._resource = Resource.create({"service.name": "neverblank", "service.instance.id": secrets.token_hex(8)})
        sender = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_S)
        self._queue = BatchSpanProcessor(
            sender, max_queue_size=MAX_WAITING, schedule_delay_millis=_DELAY_MS, max_export_batch_size=_BATCH
        )

    def send(self, facts: SpanFacts) -> None:
        """Have a span sent, or dropped where the queue is full."""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan

        own = _otel_context(facts.context, facts.context.span_id)
        status = trace.Status(trace.StatusCode.ERROR, facts.error) if facts.error else trace.Status()
        self._queue.on_end(
            ReadableSpan(
                facts.name,
                own,
                _otel_context(facts.context, facts.parent) if facts.parent else None,
                self._resource,
                dict(facts.attributes),
                kind=trace.SpanKind[facts.kind.name],
                status=status,
                start_time=facts.started_ns,
                end_time=facts.ended_ns,
            )
        )

    def close(self) -> None:
        """Send what waits, and end: in a thread, as the endpoint may hang."""
        threading.Thread(target=self._queue.shutdown, daemon=True).start()


def _otel_context(context: TraceContext, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED), state)


@cache
def _exporters() -> dict[str, SpanExporter]:
    return {}


def exporter_to(endpoint: str) -> SpanExporter:
    """Return what sends spans to `endpoint` in this process; one for another endpoint ends."""
    known = _exporters()
    if endpoint not in known:
        for name in list(known):
            known.pop(name).close()
        known[endpoint] = SpanExporter(endpoint)
    return known[endpoint]
