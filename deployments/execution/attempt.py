"""One attempt on one model: the client that makes it, and the answer that it has begun.

    start() ──► Outcome     the whole answer, or why there is none
        └─────► Begun       the first content; `next()` gives the rest, `aclose()` stops the model

Nothing is read ahead of a reader: a reader that does not read holds up the model that writes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Protocol

import orjson
from msgspec import Struct
from msgspec.structs import replace

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
    def completed(cls, answered: Answered) -> "Begun":
        """Return an attempt that holds all of `answered`."""
        end = replace(end_of(answered), extras=NO_EXTRAS)  # they are given before the text
        return cls(text_of(answered), end=end, extras=answered.extras)

    def next(self) -> Awaitable[StreamItem]:
        """Return the next part, or the end, behind which nothing may be asked for. Errors of the attempt are raised."""
        return _given(self.end or _CUT) if self._items is None else anext(self._items, _CUT)

    async def read_to_end(self, max_characters: int = MAX_COLLECTED) -> Outcome:
        """Return the whole answer; `Failed` beyond `max_characters`. Errors of the attempt are raised."""
        texts, size, extras = [self.first], len(self.first), [self.extras]
        try:
            while isinstance(item := await self.next(), (str, Extras)):
                sign_of_life()
                if isinstance(item, Extras):
                    extras.append(item)
                    continue
                texts.append(item)
                size += len(item)
                if size > max_characters:
                    return Failed(f"its answer has more than {max_characters} characters")
        finally:
            await self.aclose()
        return stream_to_outcome("".join(texts), item, extras)

    async def aclose(self) -> None:
        """Stop the model; a second call does nothing."""
        if self._items is not None:
            await self._items.aclose()


async def _given(end: StreamEnd) -> StreamItem:
    return end


async def begin(items: AsyncGenerator[StreamItem, None]) -> Outcome | Begun:
    """Read `items` up to the first content; close `items` where there is none. Errors of `items` are raised."""
    texts: list[str] = []
    extras: list[Extras] = []
    size = 0
    begun = False
    try:
        while isinstance(item := await anext(items, _CUT), (str, Extras)):
            sign_of_life()
            if isinstance(item, Extras):
                extras.append(item)
                continue
            texts.append(item)
            size += len(item)
            if item and not is_blank(item):
                begun = True
                return Begun("".join(texts), items, extras=combine(extras))
            if size > _MAX_BLANK:
                return Blank(f"{size} characters, none of them visible, and no end")
    finally:
        if not begun:
            await items.aclose()
    return stream_to_outcome("".join(texts), item, extras)


def as_items(outcome: Outcome) -> Iterator[StreamItem]:
    """Give a whole outcome as the items of a stream: its text, if it has one, and its end."""
    match outcome:
        case Answered():
            if text := text_of(outcome):
                yield text
            yield end_of(outcome)
        case Cancelled(reason):
            yield Failed(reason)
        case _:
            yield outcome


def end_of(answered: Answered) -> Finished:
    """Return the end of a stream that gives `answered`."""
    return Finished(
        answered.finish_reason,
        answered.usage,
        answered.tool_calls,
        answered.extras,
        answered.skipped,
        answered.dropped,
    )


def text_of(answered: Answered) -> str:
    """Return the text of an answer: JSON where the result is not a text, empty where it is nothing but tool calls."""
    if isinstance(answered.result, str):
        return answered.result
    return "" if answered.tool_calls else orjson.dumps(answered.result).decode()
