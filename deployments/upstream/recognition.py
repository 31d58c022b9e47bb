"""Tells an error from an answer where the status says success: in the body of a 200, or in an event of a stream.

    an error object, in any spelling of its key         an error, unless all of it is success: `{"code": 0}`
    a filter's flag, and no choices                     an error: the answer is withheld
    a filter's code (MiniMax), beside choices or not    the same
    choices                                             an answer
    `success: false`                                    an error
    a message beside a code, or a status from 400 on    an error, unless the code is one of success: 0, 200, "ok"
    a message beside a type that names a filter         an error

Whatever this calls an error is told apart by `complaints`; what it does not is an answer, or an event that is skipped.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from deployments.upstream.diagnosis import names_filter

_MAX_DEPTH, _MAX_ITEMS, _LONGEST_KEY = 4, 64, 64

_TELLS = ("errors", "fault", "exception", "baseresp")
"""Names that no answer has without choices, and errors have; `detail` and `__type` are the others."""

_ERROR_MESSAGES = ("errormsg", "errmsg", "errormessage", "errorinfo")
_CODES = ("code", "errorcode", "errcode")
_MESSAGES = ("message", "msg")
_STATUSES = ("status", "statuscode")
_KINDS = ("object", "type", "status")
_FAILED = frozenset({"error", "failed", "failure", "fail"})
_OF_SUCCESS = frozenset({"0", "ok", "success", "successful", "succeeded"})
_EMPTY = frozenset({"", "none", "null", "false"})
_TELLING = frozenset({"error", "detail", "success", "response", "header", *_TELLS, *_ERROR_MESSAGES, *_MESSAGES})
"""An object without any of these names, and without `__type`, is no error."""

_IDS = frozenset({"requestid", "traceid", "logid", "id", "timestamp"})
_WITHHELD_BESIDE_CHOICES = frozenset({"1026", "1027"})
"""MiniMax's codes for a prompt and for an answer that its filter has stopped."""


def by_name(level: Mapping[Any, Any]) -> dict[str, list[Any]]:
    """Return the values of an object by the letters and digits of their keys, in lower case; at most 64 keys of it."""
    found: dict[str, list[Any]] = {}
    for key, value in list(level.items())[:_MAX_ITEMS]:
        found.setdefault(_name_of(str(key)[:_LONGEST_KEY]), []).append(value)
    return found


@lru_cache(maxsize=1024)
def _name_of(key: str) -> str:
    """Return a key without its spelling. Remembered, as every event of a stream has the same few keys."""
    return key.lower().replace("_", "").replace("-", "")


def is_complaint(data: Any) -> bool:
    """Return whether the body of a success, or an event of a stream, is an error."""
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], Mapping) and _tells(data[0].get("error"))
    if not isinstance(data, Mapping):
        return False
    if _tells(data.get("error")):
        return True
    choices, base = data.get("choices"), data.get("base_resp")
    code = str(base.get("status_code")) if isinstance(base, Mapping) else ""
    if isinstance(choices, (list, Mapping)) and choices:
        return code in _WITHHELD_BESIDE_CHOICES
    return code != "0" and (is_filtered(data) or _is_error(data))


def is_filtered(data: Any) -> bool:
    """Return whether an answer without choices has Azure's or Gemini's flag of a prompt that is stopped."""
    if not isinstance(data, Mapping) or data.get("choices"):
        return False
    feedback, results = data.get("promptFeedback"), data.get("prompt_filter_results")
    if isinstance(feedback, Mapping) and feedback.get("blockReason"):
        return not str(feedback["blockReason"]).upper().endswith("UNSPECIFIED")
    if not isinstance(results, list):
        return False
    return any(
        has_filtered(result.get("content_filter_results"))
        for result in results[:_MAX_ITEMS]
        if isinstance(result, Mapping)
    )


def has_filtered(results: Any) -> bool:
    """Return whether one of Azure's filters has not only looked at a content, but stopped it."""
    if not isinstance(results, Mapping):
        return False
    return any(
        isinstance(each, Mapping) and each.get("filtered") is True for each in list(results.values())[:_MAX_ITEMS]
    )


def _is_error(data: Mapping[Any, Any]) -> bool:
    """Return whether an object without choices is an error by what it says."""
    if "__type" not in data and not any(_name_of(str(key)[:_LONGEST_KEY]) in _TELLING for key in data):
        return False  # nearly every event of another format
    named = by_name(data)
    if _has(named, ("error", *_TELLS)) or data.get("__type") or False in named.get("success", ()):
        return True
    if "choices" not in data and _has(named, ("detail",)):
        return True
    if "type" not in named:  # events of other formats have a `response`, too
        inner = [
            value for name in ("response", "header") for value in named.get(name, ()) if isinstance(value, Mapping)
        ]
        if any(_has(within := by_name(each), ("error",)) or _is_said(within) for each in inner):
            return True
    return _is_said(named)


def _is_said(named: Mapping[str, list[Any]]) -> bool:
    """Return whether a message stands beside a code, a kind or a status that is none of success."""
    codes = [value for name in _CODES for value in named.get(name, ())]
    if any(_is_of_success(code) for code in codes if code is not None):
        return False
    if _has(named, _ERROR_MESSAGES):
        return True
    if not any(value for name in _MESSAGES for value in named.get(name, ())):
        return False
    kinds = [str(value).lower() for name in _KINDS for value in named.get(name, ())]
    statuses = [str(value) for name in _STATUSES for value in named.get(name, ())]
    is_status = any(status.isdecimal() and len(status) == 3 and status >= "400" for status in statuses)  # noqa: PLR2004
    return bool(codes) or is_status or not _FAILED.isdisjoint(kinds) or any(map(names_filter, kinds))


def _has(named: Mapping[str, list[Any]], names: tuple[str, ...]) -> bool:
    return any(_tells(value) for name in names for value in named.get(name, ()))


def _tells(error: Any, depth: int = 0) -> bool:
    """Return whether what stands where an error does tells of one: it is not empty, and says more than success."""
    if not error or depth > _MAX_DEPTH:
        return bool(error)
    match error:
        case Mapping():
            values = [value for name, each in by_name(error).items() if name not in _IDS for value in each]
            return any(_tells(value, depth + 1) for value in values)
        case list():
            return any(_tells(each, depth + 1) for each in error[:_MAX_ITEMS])
        case _:
            return not _is_of_success(error) and str(error).strip().lower() not in _EMPTY


def _is_of_success(code: Any) -> bool:
    said = str(code).strip().lower()
    return said in _OF_SUCCESS or (len(said) == 3 and said.isdecimal() and said[0] == "2")  # noqa: PLR2004
