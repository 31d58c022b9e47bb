"""Reads the trace that a request is a part of: W3C's `traceparent` and `tracestate`.

What is malformed is as if it was not sent, as the specification demands: a trace must not cost anybody an answer.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar

from deployments.policy.trace_context import TRACEPARENT, TRACESTATE, TraceContext

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED = 0x01

CALLERS_TRACE: ContextVar[TraceContext | None] = ContextVar("CALLERS_TRACE", default=None)
"""The trace that the request of this task came with."""


def read_trace(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the trace in `headers`, which are by their names in lower case; `None` where there is none to be read."""
    read = _PARENT.fullmatch(headers[TRACEPARENT].strip()) if TRACEPARENT in headers else None
    if read is None:
        return None
    version, trace_id, span_id, flags, more = read.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = headers.get(TRACESTATE, "").strip()
    kept = state if _STATE.fullmatch(state) else ""
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), kept)
