"""A real receiver of OTLP over HTTP: it reads what is sent as OpenTelemetry's own messages, and keeps the spans."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

WAIT_S = 20.0


def value_of(value: Any) -> Any:
    """The value of an attribute."""
    kind = value.WhichOneof("value")
    return [value_of(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@dataclass(frozen=True, slots=True)
class Received:
    """One span, as it arrived."""

    raw: Span
    service: str

    @property
    def name(self) -> str:
        return str(self.raw.name)

    @property
    def trace_id(self) -> str:
        return str(self.raw.trace_id.hex())

    @property
    def span_id(self) -> str:
        return str(self.raw.span_id.hex())

    @property
    def parent(self) -> str:
        return str(self.raw.parent_span_id.hex())

    @property
    def kind(self) -> str:
        return str(Span.SpanKind.Name(self.raw.kind)).removeprefix("SPAN_KIND_").lower()

    @property
    def failed(self) -> bool:
        return bool(self.raw.status.code == Status.STATUS_CODE_ERROR)

    @property
    def attributes(self) -> dict[str, Any]:
        return {each.key: value_of(each.value) for each in self.raw.attributes}


@dataclass(slots=True)
class Receiver:
    """The receiver.

    Attributes:
        url: where spans are sent to.
        spans: those that have arrived.
        hangs: set where it reads requests and never answers, until it is cleared.
    """

    url: str
    spans: list[Received] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)

    def of(self, trace_id: str, count: int) -> list[Received]:
        """The spans of a trace in the order of their starts, once there are so many."""
        end = time.monotonic() + WAIT_S
        while len(found := [span for span in self.spans if span.trace_id == trace_id]) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} spans: {[span.name for span in self.spans]}"
            time.sleep(0.02)  # they come from a thread, or from other processes
        return sorted(found, key=lambda span: span.raw.start_time_unix_nano)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.hangs.is_set():
                time.sleep(WAIT_S)
                return
            packed = self.headers.get("content-encoding") == "gzip"
            message = ExportTraceServiceRequest.FromString(gzip.decompress(body) if packed else body)
            for resource in message.resource_spans:
                named = {each.key: value_of(each.value) for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    receiver.spans.extend(Received(span, named["service.name"]) for span in scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
