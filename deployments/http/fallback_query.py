"""Reads the query of `GET /v1/fallbacks`: `since`, `model` and `limit`."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from deployments.observability.fallback_log import MAX_FALLBACKS, FallbackQuery
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import MAX_MODEL_NAME

_KEYS = ("since", "model", "limit")
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 64

_TIMES = "how long ago (90s, 15m, 2h, 1d), a time such as 2026-01-31T12:00:00Z, or seconds since 1970"


def read_fallback_query(query: Mapping[str, str], now: float) -> FallbackQuery:
    """Return what a query asks for; a time without a zone is in UTC, and fractions of a second are cut off.

    Args:
        query: the fields, by their names.
        now: the time, in seconds since 1970.

    Raises:
        InvalidRequestError: a field is not known, or its value is none that it takes.
    """
    for key in query:
        if key not in _KEYS:
            raise InvalidRequestError(Problem("query", "has a field that is not known", ", ".join(_KEYS)))
    return FallbackQuery(
        since=_read_since(query.get("since", "").strip(), now),
        model=_read_model(query.get("model", "")),
        limit=_read_limit(query.get("limit", "")),
    )


def _read_since(text: str, now: float) -> float:
    if not text:
        return 0.0
    if len(text) <= _LONGEST:
        if ago := _AGO.fullmatch(text):
            return math.floor(now - int(ago[1]) * _SECONDS[ago[2]])
        try:
            seconds = float(text) if text.isascii() else math.nan
        except ValueError:
            seconds = _read_time(text)
        if math.isfinite(seconds) and seconds >= 0:
            return math.floor(seconds)
    raise InvalidRequestError(Problem("since", "is no time", _TIMES))


def _read_time(text: str) -> float:
    """Return a time of RFC 3339 in seconds since 1970; NaN where it is none."""
    try:
        read = datetime.fromisoformat(text.replace(" ", "+"))  # in a URL, a plus that is not escaped is a space
    except ValueError:
        return math.nan
    try:
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return math.nan


def _read_model(text: str) -> str:
    if len(text) > MAX_MODEL_NAME:
        raise InvalidRequestError(Problem("model", "is too long", f"at most {MAX_MODEL_NAME} characters"))
    return text


def _read_limit(text: str) -> int:
    if not text:
        return FallbackQuery().limit
    if text.isascii() and text.isdecimal() and len(text) < _LONGEST and 1 <= int(text) <= MAX_FALLBACKS:
        return int(text)
    raise InvalidRequestError(Problem("limit", "is not accepted", f"a whole number from 1 to {MAX_FALLBACKS}"))
