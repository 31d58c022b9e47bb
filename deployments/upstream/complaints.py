"""Reads the errors of providers, whatever their shape, into one value.

Providers nest: `{"error": {…}}`, `[{"error": {…}}]`, `{"errors": […]}`, `{"detail": [{"loc", "msg", "type"}]}`,
`{"message", "__type"}`, `{"base_resp": {"status_code", "status_msg"}}`, an error of the provider's provider as
text in `metadata.raw` or in the message itself. They spell the same key `errorMessage`, `error_message` and
`ErrorMessage`. So the whole object is walked, within bounds, and each level gives its codes, its message and its field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.upstream.causes import FOR_THE_OPERATOR, Cause
from deployments.upstream.diagnosis import cause_of
from deployments.upstream.mistakes import is_certain, is_of_caller, without_quotes
from deployments.upstream.recognition import by_name, is_filtered
from deployments.upstream.redaction import names_account
from deployments.upstream.waits import wait_of_body, wait_of_headers, wait_of_words

_OK = 200
_TOO_MANY = 429
_MAX_DEPTH, _MAX_ITEMS, _MAX_MESSAGE = 8, 64, 4000

_CODES = ("code", "type", "status", "errorcode", "errcode", "errortype", "statuscode")
_REASON = "reason"
"""Tells the cause as a code does, but may hold any words of the provider's: no caller reads it."""

_MESSAGES = (
    *("message", "msg", "errormsg", "errmsg", "statusmsg", "errormessage", "detail", "error", "title", "description"),
    *("faultstring", "exception", "messages", "errors"),
)
_INNER = (
    *("error", "errors", "innererror", "details", "detail", "metadata", "raw", "baseresp", "cause"),
    *("message", "headers", "response", "body", "fault", "header", "errormsg", "errorinfo", "exception"),
)
"""Names of keys, by their letters and digits in lower case."""

_FILTERED = "content_filter"
"""The reason of an error that is nothing but a filter's flag."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as an upstream reports it.

    Attributes:
        message: its messages; may be empty.
        codes: its codes and types, the outermost first.
        param: the field that it names; empty where it names none.
        status: the HTTP status; 200 for an error within a success.
        retry_after_s: seconds after which the upstream wants to be asked again; 0 where it named no time.
        cause: whose fault it is.
        is_certain: it names what the caller has done wrong; else an invalid request may be one for this model alone.
    """

    message: str
    codes: tuple[str, ...]
    param: str
    status: int
    retry_after_s: float
    cause: Cause
    is_certain: bool = True

    @property
    def is_misconfigured(self) -> bool:
        """Whether only the operator can remove the cause."""
        return self.cause in FOR_THE_OPERATOR


@dataclass(slots=True)
class _Found:
    """What a walk has found so far."""

    codes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    param: str = ""
    wait_s: float = 0.0
    left: int = _MAX_ITEMS


def read_complaint(data: Any, status: int, headers: Mapping[str, str], text: str = "") -> Complaint:
    """Return the error in a response or a stream.

    Args:
        data: the decoded body or event; anything.
        status: the status of the response; 200 for an error within a success.
        headers: the headers of the response, by their names in lower case.
        text: the body as text, for a body that is not JSON.
    """
    found = _Found()
    _walk(data, found, 0)
    if is_filtered(data):
        found.reasons.append(_FILTERED)
    messages = found.messages or ([text.strip()[:_MAX_MESSAGE]] if not isinstance(data, (Mapping, list)) else [])
    message = "; ".join(dict.fromkeys(messages))[:_MAX_MESSAGE]
    codes = tuple(dict.fromkeys(found.codes))
    words = without_quotes(message) if is_of_caller(status) else message
    wait_s = wait_of_headers(headers, limited=status == _TOO_MANY) or found.wait_s or wait_of_words(words)
    cause = cause_of((*codes, *found.reasons), message, status, waits=wait_s > 0, param=found.param)
    if cause is Cause.INVALID and not found.param and names_account(words):
        cause = Cause.PERMISSION  # no field of the request is named, but the operator's account is
    if not wait_s and cause is Cause.RATE_LIMIT:
        wait_s = wait_of_headers(headers, limited=True)
    certain = is_certain((*codes, *found.reasons), found.param, message)
    return Complaint(message, codes, found.param, status, wait_s, cause, certain)


def _walk(value: Any, found: _Found, depth: int) -> None:
    """Collect what `value` says, the outer levels before the inner ones."""
    if depth > _MAX_DEPTH or found.left <= 0:
        return
    found.left -= 1
    match value:
        case str():
            if depth and (inner := _as_json(value)) is not None:
                _walk(inner, found, depth + 1)
        case list():
            for item in value[:_MAX_ITEMS]:
                _walk(item, found, depth + 1)
        case Mapping():
            named = by_name(value)
            _read_level(value, named, found)
            for inner in (each for name in _INNER for each in named.get(name, ())):
                if isinstance(inner, (Mapping, list, str)):
                    _walk(inner, found, depth + 1)


def _read_level(level: Mapping[Any, Any], named: Mapping[str, list[Any]], found: _Found) -> None:
    for name in (*_CODES, _REASON):
        for code in named.get(name, ()):
            if isinstance(code, (str, int)) and not isinstance(code, bool) and str(code).strip():
                (found.reasons if name == _REASON else found.codes).append(str(code).strip()[:100])
    found.messages += [said[:_MAX_MESSAGE] for said in _messages(named)]
    found.param = found.param or _param(level)
    for key, value in list(level.items())[:_MAX_ITEMS]:
        if isinstance(value, (str, int, float, Mapping)) and not isinstance(value, bool):
            found.wait_s = found.wait_s or wait_of_body(str(key), value)
    for headers in named.get("headers", ()):
        if isinstance(headers, Mapping):
            lowered = {str(name).lower(): str(value) for name, value in list(headers.items())[:_MAX_ITEMS]}
            found.wait_s = found.wait_s or wait_of_headers(lowered, limited=True)


def _messages(named: Mapping[str, list[Any]]) -> Iterator[str]:
    """Give the messages of a level; some are in a list."""
    for value in (each for name in _MESSAGES for each in named.get(name, ())):
        for said in value[:_MAX_ITEMS] if isinstance(value, list) else [value]:
            if isinstance(said, str) and said.strip() and _as_json(said) is None:
                yield said.strip()


def _param(level: Mapping[Any, Any]) -> str:
    """Return the field that a level names: `param`, or the `loc` of a validation error without its `body`."""
    param, place = level.get("param"), level.get("loc")
    if isinstance(param, str) and param.strip():
        return param.strip()[:100]
    if not isinstance(place, list):
        return ""
    steps = [step for step in place[:_MAX_DEPTH] if isinstance(step, (str, int))]
    names = steps[1:] if steps[:1] == ["body"] else steps
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in names).lstrip(".")[:100]


def _as_json(text: str) -> Any:
    """Return the object or the list that a text is in JSON; `None` where it is neither."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
