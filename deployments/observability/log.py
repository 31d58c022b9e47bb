"""The log lines of the service: one function for each event.

Every line is one JSON object on standard error; Ray keeps standard error in the session's log files, and shows it on
the console of `serve run`. A thread writes the lines (`log_writer`). No line has credentials in it, and none has
content of requests unless `log_content` is set: of an exception that the code of a model has raised, a line has the
type and the place and not the message, which may quote a request. Whatever is in a line has a bound.
"""

import logging
import sys
import traceback
from functools import cache
from typing import Any

import structlog
from structlog.typing import EventDict

from deployments.observability.log_writer import write_in_background
from deployments.policy.answer import Answer
from deployments.policy.breaker import BreakerState, Closed
from deployments.policy.reason import cut, locate_error, message_of, trace_without_messages

MAX_TEXT_CHARACTERS = 4096
"""The longest text in a line: of a request, where content may be logged, or of a reason."""

MAX_TRACE_CHARACTERS = 16384
"""The longest trace of an exception in a line."""


@cache
def _log() -> Any:
    logger = logging.getLogger("neverblank")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.__stderr__)  # Serve puts its own log in the place of sys.stderr
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(write_in_background(handler))
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return structlog.wrap_logger(
        logger,
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


def fallback(request_id: str, asked: str, answer: Answer, seconds: float, text: str, *, quotes: bool = False) -> None:
    """Another model than the first candidate has answered. Without content, `text` is empty and `quotes` false."""
    _log().warning(
        "fallback",
        request_id=request_id,
        asked=asked,
        served_by=answer.served_by.value,
        model=answer.model,
        ms=round(seconds * 1000, 1),
        attempts=[attempt.to_json(quotes=quotes) for attempt in answer.attempts],
        **({"text": text} if text else {}),
    )


def breaker_changed(model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
    """A model's breaker opened, closed or went half-open."""
    level = logging.INFO if isinstance(after, Closed) else logging.WARNING
    _log().log(
        level,
        "breaker_changed",
        model=model,
        before=type(before).__name__.lower(),
        after=type(after).__name__.lower(),
        reason=reason,
    )


def model_loading(model: str) -> None:
    """A replica has begun to load its model."""
    _log().info("model_loading", model=model)


def model_ready(model: str, seconds: float, **details: Any) -> None:
    """A replica has loaded its model."""
    _log().info("model_ready", model=model, seconds=round(seconds, 2), **details)


def model_failed(model: str, reason: str, error: BaseException | None = None) -> None:
    """A replica could not load its model, and will refuse every request."""
    _log().error("model_failed", model=model, reason=reason, exc_info=error)


def model_raised(model: str, error: BaseException) -> None:
    """A model's own code raised while it answered. The line has no message, as that may quote the request."""
    _log().warning("model_raised", model=model, reason=locate_error(error), exception=trace_without_messages(error))


def model_stalled(model: str, seconds: float) -> None:
    """The work of a model does not advance: its replica fails its health check, and is about to be replaced."""
    _log().error("model_stalled", model=model, seconds=round(seconds, 1))


def model_found(model: str) -> None:
    """The router has found a model among the running applications."""
    _log().info("model_found", model=model)


def model_gone(model: str) -> None:
    """A model that the router knew is no longer served."""
    _log().info("model_gone", model=model)


def keys_read(count: int, trouble: str) -> None:
    """The file of the keys was read: so many are in force. With `trouble`, it does not fit, and those before stay."""
    if trouble:
        _log().error("keys_refused", keys=count, reason=trouble)
    else:
        _log().info("keys_read", keys=count)


def discovery_failed(reason: str) -> None:
    """Serve could not be asked which models run; the router keeps the state that it knows."""
    _log().warning("discovery_failed", reason=reason)


def routers_not_asked(reason: str) -> None:
    """The routers could not all be asked for their readiness, so `/readyz` answers 503."""
    _log().warning("routers_not_asked", reason=reason)


def policy_changed(policy: dict[str, Any]) -> None:
    """A router has put a policy in force; `policy` has the values that differ from the defaults."""
    _log().info("policy_changed", policy=policy)


def policy_refused(reason: str) -> None:
    """A router has refused a changed policy; the previous one stays in force."""
    _log().error("policy_refused", reason=reason)


def internal_error(where: str, model: str, error: BaseException) -> None:
    """A bug of this service has raised. The caller is answered all the same; please report the bug."""
    _log().error("internal_error", where=where, model=model, reason=message_of(error), exc_info=error)


def task_ended(task: str, reason: str, error: BaseException | None) -> None:
    """A background task of a router, which is meant to run for ever, has ended and is restarted."""
    _log().error("task_ended", task=task, reason=reason, exc_info=error)


def expectation_unheard(model: str, reason: str) -> None:
    """The backup could not be told the expected requests; it is scaled by its queue alone."""
    _log().warning("expectation_unheard", model=model, reason=reason)


def engine_not_used(model: str, engine: str, reason: str) -> None:
    """A model is served by the portable engine instead of the one that is meant for it."""
    _log().warning("engine_not_used", model=model, engine=engine, reason=reason)


def recommendation_ignored(model: str, parameter: str, accepted: str) -> None:
    """A model recommends a sampling parameter that no request may have: requests go without it."""
    _log().warning("recommendation_ignored", model=model, parameter=parameter, accepted=accepted)


def not_exported(model: str, reason: str) -> None:
    """The fast form of a GGUF model could not be made or kept, so every start reads the GGUF file, which is slow."""
    _log().warning("not_exported", model=model, reason=reason)


def engine_ended(model: str, status: int) -> None:
    """The process of a model's engine has ended, and is restarted; a negative status is the number of a signal."""
    _log().error("engine_ended", model=model, status=status)


def server_starting(model: str, engine: str, process: int, file: str) -> None:
    """A replica has started the server of its model; `file` has what the server writes."""
    _log().info("server_starting", model=model, engine=engine, process=process, file=file)


def server_ended(model: str, reason: str, file: str) -> None:
    """The server of a model has ended, was ended, or could not be started again; it is started again."""
    _log().error("server_ended", model=model, reason=reason, file=file)


def canary_changed(*, sound: bool, reason: str) -> None:
    """The backup has failed so often that it counts as unsound, or it is sound again."""
    _log().log(logging.INFO if sound else logging.ERROR, "canary_changed", sound=sound, reason=reason)


def cache_changed(reason: str) -> None:
    """The store of earlier answers cannot be used, for that reason; or, without one, it can again."""
    _log().log(logging.WARNING if reason else logging.INFO, "cache_changed", usable=not reason, reason=reason)


class SourceEvents:
    """The events of `sources`, as log lines."""

    def source_tried(self, source: str) -> None:
        """A source is asked for the weights."""
        _log().info("source_tried", source=source)

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        """A snapshot was verified and mapped."""
        _log().info("snapshot_loaded", snapshot=name, seconds=round(seconds, 2))

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        """A snapshot of `size` bytes was published."""
        _log().info("snapshot_built", snapshot=name, bytes=size, seconds=round(seconds, 2))

    def conversion_begun(self, name: str) -> None:
        """The form of a model for the fast engine of CPUs is made."""
        _log().info("conversion_begun", snapshot=name)

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        """A snapshot failed verification and is rebuilt."""
        _log().error("snapshot_set_aside", snapshot=name, reason=reason)

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        """No snapshot could be written; the model is served all the same."""
        _log().error("snapshot_not_kept", snapshot=name, reason=reason)

    def source_failed(self, source: str, reason: str) -> None:
        """A source could not give the weights; the next is tried."""
        _log().warning("source_failed_over", source=source, reason=reason)

    def source_loaded(self, source: str, seconds: float) -> None:
        """The weights were loaded from a source."""
        _log().info("source_loaded", source=source, seconds=round(seconds, 2))

    def waiting_for_builder(self, name: str) -> None:
        """Another process of this node is building the snapshot."""
        _log().info("waiting_for_builder", snapshot=name)


def upstream_misconfigured(model: str, reason: str) -> None:
    """A remote model refuses our requests, or cannot be reached, for a reason that only the operator can remove."""
    _log().error("upstream_misconfigured", model=model, reason=reason)


def upstream_event_skipped(model: str, reason: str, count: int) -> None:
    """Events of a remote model's response could not be read, and were left out; told once a response and reason."""
    _log().warning("upstream_event_skipped", model=model, reason=reason, count=count)
