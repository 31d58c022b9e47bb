"""A trace goes with its request through Serve: from the caller to the router, and into each replica that is asked."""

from tests.otlp import Receiver
from tests.service.service import Service

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_request_its_attempts_and_the_work_of_each_replica_are_one_trace(service: Service, spans: Receiver) -> None:
    body = {"text": "Hello", "fault": "raise", "max_tokens": 4}
    answer, _ = service.ask(body, "faulty", traceparent=f"00-{TRACE}-{SPAN}-01")
    assert answer["served_by"] == "backup"

    received = spans.of(TRACE, 5)

    own = next(span for span in received if span.parent == SPAN)
    below = {span.name: span for span in received if span.parent == own.span_id}
    assert (own.kind, own.name) == ("server", "text_completion faulty")
    assert {name: span.failed for name, span in below.items()} == {
        "text_completion faulty": True,
        "text_completion backup": False,
    }
    generated = {span.name: span.parent for span in received if span.name.startswith("generate ")}
    assert generated == {
        f"generate {model}": below[f"text_completion {model}"].span_id for model in ("faulty", "backup")
    }
