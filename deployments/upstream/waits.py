"""The time after which a provider wants to be asked again, in all its spellings.

    headers    retry-after-ms, x-ms-retry-after-ms    milliseconds
               retry-after, x-retry-after             seconds, a duration, an HTTP date (RFC 9110, section 10.2.3)
               x-ratelimit-reset…, ratelimit-reset,   seconds, a duration, a time; read of rate limits only
               anthropic-ratelimit-…-reset
               ratelimit                              `r=0;t=50` or `remaining=0, reset=50`
    bodies     retry_after, retryAfter, retryDelay, retry_after_ms, estimated_time
               "Please try again in 1m30s.", "retry after 20 seconds"

A number is seconds, or the epoch in seconds or milliseconds where it is that large. Nothing here is longer than a day.
"""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

MOST_S = 86_400.0

_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms", "x-retry-after-ms")
_SECONDS = ("retry-after", "x-retry-after", "x-ms-retry-after")
_RESET = re.compile(r"(?:^|-)(?:ratelimit\w*-)(?:[\w-]+-)?reset(?:-[\w-]+)?$")
_COMBINED = re.compile(r"(?:\b(?:reset|t)=)(\d+)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])",
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_IN_WORDS = re.compile(
    r"(?:try again|retry(?:ing)?|available|wait|reset\w*)(?: at least)?(?: in| after| for)? (?:about |~)?"
    r"((?:\d+(?:\.\d+)?\s*(?:ms|millisecond|s|sec|second|m|min|minute|h|hr|hour|d|day)s?(?![a-z])[\s,]*(?:and )?)+)"
)
_EPOCH_S, _EPOCH_MS = 1e9, 1e11
"""From these numbers on, a number is a time and no duration."""

_BODY_SECONDS = frozenset({"retry_after", "retryafter", "retrydelay", "retry_after_seconds", "estimated_time"})
_BODY_MILLISECONDS = frozenset({"retry_after_ms", "retryafterms"})


def wait_of_headers(headers: Mapping[str, str], *, limited: bool) -> float:
    """Return the seconds that headers name; 0 where they name none.

    Args:
        headers: by their names in lower case.
        limited: the response tells of a rate limit: the times at which limits are reset are read, too.
    """
    for name in _MILLISECONDS:
        if (milliseconds := _number(headers.get(name, ""))) > 0:
            return _bounded(milliseconds / 1000)
    for name in _SECONDS:
        if (seconds := to_seconds(headers.get(name, ""))) > 0:
            return seconds
    return _wait_of_resets(headers) if limited else 0.0


def wait_of_body(key: str, value: Any) -> float:
    """Return the seconds that a field of an error names; 0 where it is no such field."""
    name = key.lower()
    if name in _BODY_MILLISECONDS:
        return _bounded(_number(str(value)) / 1000)
    return to_seconds(str(value)) if name in _BODY_SECONDS else 0.0


def wait_of_words(message: str) -> float:
    """Return the seconds that a message names; 0 where it names none."""
    found = _IN_WORDS.search(message.lower()[:_LONGEST_MESSAGE])
    return _bounded(_duration(found[1])) if found else 0.0


def to_seconds(text: str) -> float:
    """Return the seconds from now that `text` means: a number, a duration or a time; 0 where it is none of them."""
    text = text.strip()[:_LONGEST_VALUE]
    if (number := _number(text)) > 0:
        if number >= _EPOCH_MS:
            return _bounded(number / 1000 - time.time())
        return _bounded(number - time.time() if number >= _EPOCH_S else number)
    lowered = text.lower()
    if lowered and not _PART.sub("", lowered).strip(" ,"):
        return _bounded(_duration(lowered))
    return _bounded(_moment(text) - time.time())


def _wait_of_resets(headers: Mapping[str, str]) -> float:
    """Return when the limit that is used up is reset; without one that is, the first reset of all."""
    used_up: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        if _RESET.search(name) and (seconds := to_seconds(value)) > 0:
            remaining = headers.get(name.replace("reset", "remaining"), "")
            (used_up if remaining.strip() in {"0", "0.0"} else others).append(seconds)
    if found := _COMBINED.search(headers.get("ratelimit", "")):
        others.append(_bounded(float(found[1])))
    return max(used_up) if used_up else min(others, default=0.0)


def _duration(text: str) -> float:
    """Return the sum of the parts of a duration such as `1m30.5s`."""
    return sum(float(part[1]) * _UNIT_S[_unit(part[2])] for part in _parts(text))


def _parts(text: str) -> Iterator[re.Match[str]]:
    # A unit that is followed by a digit ends there: `1m30s`.
    return _PART.finditer(text)


def _unit(name: str) -> str:
    return "ms" if name.startswith(("ms", "milli")) else name[0]


def _number(text: str) -> float:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text[:_LONGEST_VALUE]) else 0.0


def _moment(text: str) -> float:
    """Return a date of HTTP or ISO 8601 as seconds since the epoch; 0 where it is none."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(text).timestamp()
        except (TypeError, ValueError, OverflowError):
            continue  # not a date of this kind
    return 0.0


def _bounded(seconds: float) -> float:
    return min(MOST_S, max(0.0, seconds))


_LONGEST_VALUE, _LONGEST_MESSAGE = 100, 4000
