"""The logger of the service: every line is one JSON object on standard error, written by a thread (`log_writer`)."""

import logging
import sys
import traceback
from functools import cache
from typing import Any

import structlog
from structlog.typing import EventDict

from deployments.observability.log_writer import write_in_background
from deployments.policy.reason import cut

MAX_TEXT_CHARACTERS = 4096
"""The longest text in a line: of a request, where content may be logged, or of a reason."""

MAX_TRACE_CHARACTERS = 16384
"""The longest trace of an exception in a line."""


@cache
def logger() -> Any:
    """Return the logger, which is set up when it is first asked for."""
    own = logging.getLogger("neverblank")
    if not own.handlers:
        handler = logging.StreamHandler(sys.__stderr__)  # Serve puts its own log in the place of sys.stderr
        handler.setFormatter(logging.Formatter("%(message)s"))
        own.addHandler(write_in_background(handler))
        own.setLevel(logging.INFO)
        own.propagate = False
    return structlog.wrap_logger(
        own,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _bounded,
            _first_things_first,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _with_trace(_: Any, __: str, line: EventDict) -> EventDict:
    """Turn `exc_info` into text. The processor of structlog uses `print`, which Serve replaces."""
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["exception"] = "".join(traceback.format_exception(error))
    return line


def _bounded(_: Any, __: str, line: EventDict) -> EventDict:
    """Cut each text of a line to a bound: of a trace the end is kept, which says what was raised, and where."""
    if len(trace := line.get("exception", "")) > MAX_TRACE_CHARACTERS:
        line["exception"] = f"\u2026{trace[1 - MAX_TRACE_CHARACTERS :]}"
    for key, value in line.items():
        if isinstance(value, str) and key != "exception":
            line[key] = cut(value, MAX_TEXT_CHARACTERS)
    return line


def _first_things_first(_: Any, __: str, line: EventDict) -> EventDict:
    """Put time, level and event first, where a reader looks for them."""
    return {key: line.pop(key) for key in ("timestamp", "level", "event")} | dict(line)
