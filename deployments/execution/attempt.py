"""One attempt on one model: the client that makes it, and the answer that it has begun.

    start() ──► Outcome     the whole answer, or why there is none
        └─────► Begun       the first content; `next()` gives the rest, `aclose()` stops the model

Nothing is read ahead of a reader: a reader that does not read holds up the model that writes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from msgspec import Struct

from deployments.execution.pulse import sign_of_life
from deployments.policy.blank import is_blank
from deployments.policy.extras import NO_EXTRAS, Extras, combine
from deployments.policy.outcome import (
    Answered,
    Blank,
    Cancelled,
    Failed,
    Finished,
    Outcome,
    Refused,
    Rejected,
    StreamEnd,
    StreamItem,
    StreamPart,
    TimedOut,
    stream_to_outcome,
)
from deployments.request import InferenceRequest

MAX_COLLECTED = 1 << 24
"""Characters of the longest answer that is collected as a whole."""

_MAX_BLANK = 1 << 16
"""Invisible characters after which a stream without visible content is given up."""

GIVEN_UP = Cancelled("given up by the caller")
"""The outcome of an attempt whose caller has gone, or whose answer is no longer needed."""

_CUT = Failed("its stream was cut", transient=True)

Conform = Callable[[Answered], Awaitable[Answered | Failed | Refused | TimedOut]]
"""Checks an answer against the form that its caller demanded; returns the answer, or why it does not count."""


class ModelClient(Protocol):
    """A way to reach one model."""

    async def start(self, request: InferenceRequest, budget_s: float) -> "Outcome | Begun":
        """Make one attempt that may take `budget_s` seconds.

        A request that streams gives a `Begun` as soon as there is something to pass on. Where `request.prefix` is not
        empty, the text carries on right behind it and repeats none of it; a model that cannot carry on, or starts over,
        gives `Refused`. Every error is returned as an outcome. Silence is not bounded here: `StreamWatch` does that.

        Raises:
            asyncio.CancelledError: the attempt was cancelled; whoever did the work has been cancelled before.
        """
        ...


class NotAsked(Struct, frozen=True):
    """Stands in for a model that is not asked; `outcome` says why."""

    outcome: Refused | Rejected

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - it is not asked
        """Return the outcome."""
        return self.outcome


class Begun:
    """An attempt whose first content is there.

    Attributes:
        first: the text so far; never blank, unless `end` is known.
        extras: what came beside the text so far.
        end: the end of the attempt, where it is known from the beginning.
    """

    __slots__ = ("_items", "end", "extras", "first")

    def __init__(
        self,
        first: str,
        items: AsyncGenerator[StreamItem, None] | None = None,
        end: StreamEnd = _CUT,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Hold `first` and the rest of the stream: `items`, or where there are none, its `end`."""
        self.first = first
        self.extras = extras
        self.end = end if items is None else None
        self._items = items

    @classmethod
    def completed(cls, outcome: Outcome) -> "Begun":
        """Return an attempt that is over: all of an answer, or nothing but the reason why there is none."""
        match outcome:
            case Answered(usage=usage, finish_reason=reason, tool_calls=calls):
                end = Finished(reason, usage, calls, skipped=outcome.skipped, dropped=outcome.dropped)
                return cls(text_of(outcome), end=end, extras=outcome.extras)
            case Cancelled(reason):
                return cls("", end=Failed(reason))
            case _:
                return cls("", end=outcome)

    @property
    def so_far(self) -> tuple[StreamPart, ...]:
        """What is there already, as parts of a stream."""
        return tuple(part for part in (self.extras, self.first) if part)

    def next(self) -> Awaitable[StreamItem]:
        """Return the next part, or the end, behind which nothing may be asked for. Errors of the attempt are raised."""
        return _given(self.end or _CUT) if self._items is None else anext(self._items, _CUT)

    async def read_to_end(self, max_characters: int = MAX_COLLECTED) -> Outcome:
        """Return the whole answer; `Failed` beyond `max_characters`. Errors of the attempt are raised."""
        parts = _Parts([self.first], [self.extras], len(self.first))
        try:
            while isinstance(item := await self.next(), StreamPart):
                parts.add(item)
                if parts.size > max_characters:
                    return Failed(f"its answer has more than {max_characters} characters")
        finally:
            await self.aclose()
        return stream_to_outcome("".join(parts.texts), item, parts.extras)

    async def aclose(self) -> None:
        """Stop the model; a second call does nothing."""
        if self._items is not None:
            await self._items.aclose()


async def _given(end: StreamEnd) -> StreamItem:
    return end


async def begin(items: AsyncGenerator[StreamItem, None]) -> Outcome | Begun:
    """Read `items` up to the first content; close `items` where there is none. Errors of `items` are raised."""
    parts, begun = _Parts(), None
    try:
        while isinstance(item := await anext(items, _CUT), StreamPart):
            parts.add(item)
            if isinstance(item, str) and not is_blank(item):
                begun = Begun("".join(parts.texts), items, extras=combine(parts.extras))
                return begun
            if parts.size > _MAX_BLANK:
                return Blank(f"{parts.size} characters, none of them visible, and no end")
    finally:
        if begun is None:
            await items.aclose()
    return stream_to_outcome("".join(parts.texts), item, parts.extras)


@dataclass(slots=True)
class _Parts:
    """What has been read of an answer; `size` is the number of characters in its texts."""

    texts: list[str] = field(default_factory=list)
    extras: list[Extras] = field(default_factory=list)
    size: int = 0

    def add(self, part: StreamPart) -> None:
        """Take a part, which is a sign of life."""
        sign_of_life()
        if isinstance(part, str):
            self.texts.append(part)
            self.size += len(part)
        else:
            self.extras.append(part)


def text_of(answered: Answered) -> str:
    """Return the text of an answer: JSON where the result is not a text, empty where it is nothing but tool calls."""
    if isinstance(answered.result, str):
        return answered.result
    return "" if answered.tool_calls else orjson.dumps(answered.result).decode()
