"""The place of a piece of work in a distributed trace, as W3C's Trace Context has it. It travels with a request."""

from msgspec import Struct

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"


class TraceContext(Struct, frozen=True, omit_defaults=True):
    """The span that a piece of work is a part of.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whoever began the trace records it.
        state: `tracestate` as it was sent; passed on and not read.
        model: the model that an attempt is made on.
        endpoint: where a replica sends its own span: the router's setting; empty in what a caller sent.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    endpoint: str = ""
    model: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers that carry it to whoever is called."""
        parent = {TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        return {**parent, TRACESTATE: self.state} if self.state else parent
