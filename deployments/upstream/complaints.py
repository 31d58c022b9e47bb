"""Reads the errors of providers, whatever their shape, into one value.

Providers nest: `{"error": {…}}`, `[{"error": {…}}]`, `{"errors": […]}`, `{"detail": [{"loc", "msg", "type"}]}`,
`{"message", "__type"}`, `{"base_resp": {"status_code", "status_msg"}}`, an error of the provider's provider as
text in `metadata.raw` or in the message itself. So the whole object is walked, within bounds, and each level gives its
codes, its message and its field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.upstream.causes import FOR_THE_OPERATOR, Cause, cause_of
from deployments.upstream.mistakes import is_of_caller, without_quotes
from deployments.upstream.redaction import names_account
from deployments.upstream.waits import wait_of_body, wait_of_headers, wait_of_words

_OK = 200
_TOO_MANY = 429
_MAX_DEPTH, _MAX_ITEMS, _MAX_MESSAGE = 8, 64, 4000

_CODES = ("code", "type", "status", "error_code", "error_type", "errorType", "__type", "status_code")
_REASON = "reason"
"""Tells the cause as a code does, but may hold any words of the provider's: no caller reads it."""

_MESSAGES = ("message", "msg", "error_msg", "status_msg", "errorMessage", "detail", "error", "title", "description")
_INNER = (
    *("error", "errors", "innererror", "inner_error", "details", "detail", "metadata", "raw", "base_resp", "cause"),
    *("message", "headers", "response", "body"),
)
_TELLS = frozenset({"error", "errors", "detail", "base_resp", "__type"})
"""Keys that no answer has without choices, and errors have."""


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
    """

    message: str
    codes: tuple[str, ...]
    param: str
    status: int
    retry_after_s: float
    cause: Cause

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


def is_complaint(data: Any) -> bool:
    """Return whether the body of a success, or an event of a stream, is an error."""
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], Mapping) and bool(data[0].get("error"))
    if not isinstance(data, Mapping):
        return False
    if data.get("error"):
        return True
    if isinstance(data.get("choices"), list) and data["choices"]:
        return False
    base = data.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code") in {0, "0"}:
        return False
    said = bool(data.get("message")) and (data.get("object") == "error" or "code" in data)
    return said or any(bool(data.get(key)) for key in _TELLS)


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
    return Complaint(message, codes, found.param, status, wait_s, cause)


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
            _read_level(value, found)
            for key in _INNER:
                if isinstance(inner := value.get(key), (Mapping, list, str)):
                    _walk(inner, found, depth + 1)


def _read_level(level: Mapping[Any, Any], found: _Found) -> None:
    for key in (*_CODES, _REASON):
        code = level.get(key)
        if isinstance(code, (str, int)) and not isinstance(code, bool) and str(code).strip():
            (found.reasons if key == _REASON else found.codes).append(str(code).strip()[:100])
    found.messages += [said[:_MAX_MESSAGE] for said in _messages(level)]
    found.param = found.param or _param(level)
    for key, value in list(level.items())[:_MAX_ITEMS]:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            found.wait_s = found.wait_s or wait_of_body(str(key), value)
    if isinstance(headers := level.get("headers"), Mapping):
        lowered = {str(name).lower(): str(value) for name, value in list(headers.items())[:_MAX_ITEMS]}
        found.wait_s = found.wait_s or wait_of_headers(lowered, limited=True)


def _messages(level: Mapping[Any, Any]) -> Iterator[str]:
    for key in _MESSAGES:
        said = level.get(key)
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
