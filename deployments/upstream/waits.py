"""The time after which a provider wants to be asked again, in all its spellings.

    headers    …retry-after-ms                        milliseconds
               …retry-after, …retry-after-seconds     seconds, a duration, an HTTP date (RFC 9110, section 10.2.3)
               …ratelimit…-reset…, x-rate-limit-reset seconds, a duration, a time; read of rate limits only
               ratelimit                              `r=0;t=50` or `remaining=0, reset=50`
    bodies     retry_after, retryAfter, retryDelay, retry_after_ms, estimated_time, resets_in_seconds, resets_at
               "Please try again in 1m30s.", "retry after 20 seconds", "Try again at 2026-01-01T00:00:00Z"

A number is seconds, or the epoch in seconds to nanoseconds where it is that large. A value may be in quotes, repeated
behind a comma, or a duration of ISO 8601 (`PT50S`). Nothing here is longer than a day.
"""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

MOST_S = 86_400.0

_HEADER = re.compile(r"(?:^|-)retry-after(?:-(ms|milliseconds|s|sec|seconds))?$")
_HEADERS_FIRST = ("retry-after-ms", "x-ms-retry-after-ms", "x-retry-after-ms", "retry-after", "x-retry-after")
"""Where there are several, these count before others."""

_RESET = re.compile(r"(?:^|-)(?:rate-?limit\w*-)(?:[\w-]+-)?reset(?:-[\w-]+)?$")
_COMBINED = re.compile(r"(?:\b(?:reset|t)=)(\d+)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])",
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_IN_WORDS = re.compile(
    r"(?:try again|retry(?:ing)?|available|wait|reset\w*)(?: at least)?(?:[ -]in|[ -]after| for)?:? (?:about |~)?"
    r"((?:\d+(?:\.\d+)?\s*(?:ms|millisecond|s|sec|second|m|min|minute|h|hr|hour|d|day)s?(?![a-z])[\s,]*(?:and )?)+)"
)
_SECONDS_IN_WORDS = re.compile(r"retry[ -]after: ?(\d+(?:\.\d+)?)(?![\w.-])")
_MOMENT_IN_WORDS = re.compile(
    r"(?:try again|retry|available|resets?)(?: again)? (?:at|after|on) (\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d)?[\d.]*"
    r"(?: ?z| ?utc|[+-]\d\d:?\d\d)?)"
)
_ISO_DURATION = re.compile(r"p(?:\d+d)?t?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?")
_EPOCH_S = 1e9
_EPOCHS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (_EPOCH_S, 1.0))
"""From these numbers on, a number is a time and no duration: in nano-, micro-, milliseconds, seconds."""

_BODY_SECONDS = frozenset(
    {"retryafter", "retrydelay", "retryafterseconds", "retryafters", "estimatedtime"}
    | {"resetsinseconds", "resetsin", "resetsat", "quotaresetdelay"}
)
_BODY_MILLISECONDS = frozenset({"retryafterms", "retryaftermilliseconds"})


def wait_of_headers(headers: Mapping[str, str], *, limited: bool) -> float:
    """Return the seconds that headers name; 0 where they name none.

    Args:
        headers: by their names in lower case.
        limited: the response tells of a rate limit: the times at which limits are reset are read, too.
    """
    others = [name for name in headers if name not in _HEADERS_FIRST]
    for name in (*_HEADERS_FIRST, *others):
        if (found := _HEADER.search(name)) is None or name not in headers:
            continue
        in_ms = (found[1] or "").startswith("m")
        seconds = _bounded(_number(headers[name]) / 1000) if in_ms else to_seconds(headers[name])
        if seconds > 0:
            return seconds
    return _wait_of_resets(headers) if limited else 0.0


def wait_of_body(key: str, value: Any) -> float:
    """Return the seconds that a field of an error names; 0 where it is no such field."""
    name = key.lower().replace("_", "").replace("-", "")
    if isinstance(value, Mapping):  # a duration of protobuf
        value = value.get("seconds", "")
    if name in _BODY_MILLISECONDS:
        return _bounded(_number(str(value)) / 1000)
    return to_seconds(str(value)) if name in _BODY_SECONDS else 0.0


def wait_of_words(message: str) -> float:
    """Return the seconds that a message names; 0 where it names none."""
    said = message.lower()[:_LONGEST_MESSAGE]
    if found := _IN_WORDS.search(said):
        return _bounded(_duration(found[1]))
    if found := _SECONDS_IN_WORDS.search(said):
        return to_seconds(found[1])
    found = _MOMENT_IN_WORDS.search(said)
    return to_seconds(found[1].upper().replace(" UTC", "Z").replace(" Z", "Z").rstrip(".")) if found else 0.0


def to_seconds(text: str) -> float:
    """Return the seconds from now that `text` means: a number, a duration or a time; 0 where it is none of them."""
    text = text.strip()[:_LONGEST_VALUE].strip("\"' ")
    if (number := _number(text)) > 0:
        unit = next((unit for least, unit in _EPOCHS if number >= least), 0.0)
        return _bounded(number / unit - time.time() if unit else number)
    lowered = text.lower()
    if _ISO_DURATION.fullmatch(lowered):
        lowered = lowered.replace("p", "").replace("t", "")
    if lowered and not _PART.sub("", lowered).strip(" ,"):
        return _bounded(_duration(lowered))
    if (moment := _moment(text)) > 0:
        return _bounded(moment - time.time())
    return _repeated(text)


def _repeated(text: str) -> float:
    """Return the longest of the values that a proxy has put together with commas."""
    values = text.split(",")
    seconds = [to_seconds(value) for value in values] if len(values) > 1 else []
    return max(seconds, default=0.0) if all(seconds) else 0.0


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
            return _with_zone(read(text)).timestamp()
        except (TypeError, ValueError, OverflowError):
            continue  # not a date of this kind
    return 0.0


def _with_zone(moment: datetime) -> datetime:
    """Return a time that names no zone as one of UTC, whatever the zone of this machine is."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _bounded(seconds: float) -> float:
    return min(MOST_S, max(0.0, seconds))


_LONGEST_VALUE, _LONGEST_MESSAGE = 100, 4000
