"""Sends finished spans to an OTLP endpoint, over HTTP: a thread does so, behind a bounded queue.

What finds no place in the queue is dropped, and counted: an endpoint that hangs or is gone costs nothing but its spans.
The library reads what an endpoint demands from the environment, by OpenTelemetry's own names
(`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`). It is imported once there is a span, and not before.
"""

import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from functools import cache
from typing import Any

from msgspec import Struct

from deployments.policy.reason import well_formed
from deployments.policy.trace_context import TraceContext

MOST_ENDPOINTS = 4
"""Endpoints that spans of one process go to at a time, each with a thread."""

MAX_WAITING = 2048
"""Spans that wait to be sent."""

_EXPORT_S = 5.0
_GATHER_S = 0.5
_BATCH = 256
_SERVICE_VARIABLE = "OTEL_SERVICE_NAME"


_LOG = logging.getLogger(__name__)
"""Where the library logs what an endpoint answers. `log` cannot be used: it counts lines, and counts ask for these."""


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
    """Sends spans to one endpoint, in batches, in a thread of its own. The library is imported in there, too."""

    def __init__(self, endpoint: str) -> None:
        """Send to `endpoint`, an address such as `http://127.0.0.1:4318/v1/traces`."""
        self._endpoint = endpoint
        self._waiting: queue.Queue[SpanFacts | None] = queue.Queue(MAX_WAITING)
        self._is_closed = False
        threading.Thread(target=self._run, name="spans", daemon=True).start()

    def send(self, facts: SpanFacts) -> None:
        """Have a span sent, or dropped and counted where too many wait."""
        try:
            self._waiting.put_nowait(facts)
        except queue.Full:
            _counted["overflowed"] += 1

    def close(self) -> None:
        """End once what waits has been tried."""
        self._is_closed = True
        with suppress(queue.Full):  # then it ends once nothing waits
            self._waiting.put_nowait(None)

    def _run(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult

        service = os.environ.get(_SERVICE_VARIABLE, "neverblank")
        resource = Resource.create({"service.name": service, "service.instance.id": secrets.token_hex(8)})
        sender = OTLPSpanExporter(endpoint=self._endpoint, timeout=_EXPORT_S)
        goes_on = True
        while goes_on:
            batch, goes_on = self._next_batch()
            goes_on = goes_on and not (self._is_closed and self._waiting.empty())
            try:
                is_sent = sender.export([_to_otel(facts, resource) for facts in batch]) is SpanExportResult.SUCCESS
            except Exception:  # noqa: BLE001 - what the library raises costs these spans, and no later ones
                _LOG.exception("spans could not be sent to %s", self._endpoint)
                is_sent = False
            _counted["sent" if is_sent else "failed"] += len(batch)
            _last["reason"] = "" if is_sent or not batch else f"the endpoint has not taken the last {len(batch)} spans"

    def _next_batch(self) -> tuple[list[SpanFacts], bool]:
        """Return what waits, at least one span and once `_GATHER_S` is over, and whether more is to come."""
        batch: list[SpanFacts] = []
        first = self._waiting.get()
        ends = time.monotonic() + _GATHER_S
        while first is not None:
            batch.append(first)
            if len(batch) == _BATCH:
                return batch, True
            try:
                first = self._waiting.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False


def drain_spans() -> dict[str, int]:
    """Return how many spans were `sent`, and how many `dropped`, since this was last asked."""
    now = dict(_counted)
    before = dict(_taken)
    _taken.update(now)
    dropped = sum(now[key] - before[key] for key in ("overflowed", "failed"))
    return {"sent": now["sent"] - before["sent"], "dropped": dropped}


def describe_spans() -> dict[str, Any]:
    """Return how many spans of this process were sent and dropped, and whether the last ones arrived, for `/status`."""
    dropped = _counted["overflowed"] + _counted["failed"]
    return {"sent": _counted["sent"], "dropped": dropped, "reachable": not _last["reason"], **_last}


_last = {"reason": ""}
# Each is written by one thread alone: the event loop's, or the one that sends.
_counted = {"overflowed": 0, "failed": 0, "sent": 0}
_taken = dict(_counted)


def _to_otel(facts: SpanFacts, resource: Any) -> Any:
    """Return a span in the library's form."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan

    return ReadableSpan(
        well_formed(facts.name),
        _otel_context(facts.context, facts.context.span_id),
        _otel_context(facts.context, facts.parent) if facts.parent else None,
        resource,
        {name: _well_formed(value) for name, value in facts.attributes.items()},
        kind=trace.SpanKind[facts.kind.name],
        status=trace.Status(trace.StatusCode.ERROR, well_formed(facts.error)) if facts.error else trace.Status(),
        start_time=facts.started_ns,
        end_time=facts.ended_ns,
    )


def _well_formed(value: Any) -> Any:
    """Return the value of an attribute without halves of surrogate pairs: one of them would cost its whole batch."""
    if isinstance(value, list):
        return [_well_formed(each) for each in value]
    return well_formed(value) if isinstance(value, str) else value


def _otel_context(context: TraceContext, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED), state)


@cache
def _exporters() -> dict[str, SpanExporter]:
    return {}


def exporter_to(endpoint: str) -> SpanExporter:
    """Return what sends spans to `endpoint` in this process.

    Those of the last few endpoints are kept: routers whose endpoints differ may share a replica. One more ends the one
    that was asked for the longest ago.
    """
    known = _exporters()
    if (exporter := known.pop(endpoint, None)) is None:
        exporter = SpanExporter(endpoint)
    known[endpoint] = exporter  # behind all others
    while len(known) > MOST_ENDPOINTS:
        known.pop(next(iter(known))).close()
    return exporter
