"""The last fallbacks of one router, to be asked for: who was asked, who answered, and why; never what was said.

The bound is a number: `MAX_FALLBACKS` of them are kept, each with the attempts of one request, whose reasons have a
bound of their own. A fallback that finds no place pushes out the oldest one.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

MAX_FALLBACKS = 1000
"""Fallbacks that a router keeps."""


class FallbackQuery(Struct, frozen=True):
    """Which fallbacks are asked for.

    Attributes:
        since: they were answered at this time or later, in seconds since 1970.
        model: it was asked for, or has answered; empty for any.
        limit: at most this many, the newest of them.
    """

    since: float = 0.0
    model: str = ""
    limit: int = 100


class FallbackLog:
    """The fallbacks of one router."""

    def __init__(self, clock: Callable[[], float] = time.time, places: int = MAX_FALLBACKS) -> None:
        """Begin empty.

        Args:
            clock: returns seconds since 1970.
            places: fallbacks that are kept.
        """
        self._clock = clock
        self._kept: deque[tuple[float, Mapping[str, Any]]] = deque(maxlen=places)
        self._complete_since = clock()

    def add(self, facts: Mapping[str, Any]) -> None:
        """Keep a fallback that happens now; `facts` are those of its log line, without content."""
        if len(self._kept) == self._kept.maxlen:
            self._complete_since = self._kept[0][0]
        self._kept.append((self._clock(), facts))

    def find(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the fallbacks that `query` asks for, newest first, and since when none has been pushed out."""
        found: list[dict[str, Any]] = []
        for moment, facts in reversed(self._kept):
            if moment < query.since or len(found) == query.limit:
                break
            if not query.model or query.model in (facts["asked"], facts["model"]):
                found.append({"time": told_time(moment), **facts})
        return {"fallbacks": found, "complete_since": self._complete_since}


def merge_fallbacks(told: list[Mapping[str, Any]], query: FallbackQuery) -> dict[str, Any]:
    """Return what several routers have found for the same `query` as one: newest first, within its limit."""
    found = sorted(
        (each for router in told for each in router["fallbacks"]), key=lambda each: each["time"], reverse=True
    )
    since = max((router["complete_since"] for router in told), default=0.0)
    return {"fallbacks": found[: query.limit], "complete_since": told_time(since)}


def told_time(moment: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 has it, in UTC and to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
