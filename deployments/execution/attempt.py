"""One attempt on one model: how it is made, and what has begun of it.

    start() ──► Outcome     the whole answer, or why there is none
        └─────► Begun       the first content; `next()` gives the rest, `aclose()` stops whoever writes

Nothing is read ahead of a reader: a reader that does not read holds up the model that writes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Protocol

import orjson

from deployments.policy.blank import is_blank
from deployments.policy.outcome import (
    Answered,
    Blank,
    Cancelled,
    Failed,
    Finished,
    Outcome,
    Refused,
    StreamEnd,
    StreamItem,
    stream_to_outcome,
)
from deployments.request import InferenceRequest

MAX_COLLECTED = 1 << 24
"""The longest text of an answer that is collected before it is passed on."""

_MAX_BLANK = 1 << 16
"""Invisible characters after which a stream that has not said anything yet is given up."""

_CUT = Failed("its stream was cut", transient=True)

Conform = Callable[[Answered], Awaitable[Answered | Failed | Refused]]
"""Holds an answer to the form that its caller demanded."""


class ModelClient(Protocol):
    """A way to reach one model."""

    async def start(self, request: InferenceRequest, budget_s: float) -> "Outcome | Begun":
        """Make one attempt that may take `budget_s` seconds.

        A request that streams gives a `Begun` as soon as there is something to pass on. Where `request.prefix` is not
        empty, the text carries on right behind it and repeats none of it; a model that cannot carry on, or starts over,
        gives `Refused`. Every error is returned as an outcome. Silence is not bounded here: `IdleTimer` does that.

        Raises:
            asyncio.CancelledError: the attempt was cancelled; whoever did the work has been cancelled before.
        """
        ...


class Begun:
    """An attempt whose first content is there.

    Attributes:
        first: the text so far. It is never blank, unless `end` is known.
        end: how the attempt ended, where it has; else `None`.
    """

    __slots__ = ("_items", "end", "first")

    def __init__(
        self, first: str, items: AsyncGenerator[StreamItem, None] | None = None, end: StreamEnd | None = None
    ) -> None:
        """Hold `first`, and the rest of the stream: `items` still to be read, or the `end` that is known."""
        self.first = first
        self.end: StreamEnd | None = end if items is not None or end is not None else _CUT
        self._items = items

    @classmethod
    def completed(cls, answered: Answered) -> "Begun":
        """An answer that is there as a whole."""
        end = Finished(answered.finish_reason, answered.usage, answered.tool_calls)
        return cls(text_of(answered), end=end)

    async def next(self) -> StreamItem:
        """The next text, or the end. What the attempt raises is raised."""
        if self.end is None:
            item = await _next(self._items) if self._items is not None else _CUT
            if isinstance(item, str):
                return item
            self.end = item
        return self.end

    async def read_to_end(self, max_characters: int = MAX_COLLECTED) -> Outcome:
        """The whole answer; one of more than `max_characters` has failed. What the attempt raises is raised."""
        texts, size = [self.first], len(self.first)
        try:
            while isinstance(item := await self.next(), str):
                texts.append(item)
                size += len(item)
                if size > max_characters:
                    return Failed(f"its answer has more than {max_characters} characters")
        finally:
            await self.aclose()
        return stream_to_outcome("".join(texts), item)

    async def aclose(self) -> None:
        """Stop whoever writes. Closing twice is closing once."""
        if self._items is not None:
            await self._items.aclose()


async def begin(items: AsyncGenerator[StreamItem, None]) -> Outcome | Begun:
    """Read `items` up to the first content; close them where there is none. What they raise is raised."""
    texts: list[str] = []
    size = 0
    begun = False
    try:
        while isinstance(item := await _next(items), str):
            texts.append(item)
            size += len(item)
            if item and not is_blank(item):
                begun = True
                return Begun("".join(texts), items)
            if size > _MAX_BLANK:
                return Blank(f"{size} characters, none of them visible, and no end")
    finally:
        if not begun:
            await items.aclose()
    return stream_to_outcome("".join(texts), item)


async def _next(items: AsyncGenerator[StreamItem, None]) -> StreamItem:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _CUT


def as_items(outcome: Outcome) -> Iterator[StreamItem]:
    """A whole outcome as the items of a stream: its text, if it has one, and its end."""
    match outcome:
        case Answered():
            if text := text_of(outcome):
                yield text
            yield Finished(outcome.finish_reason, outcome.usage, outcome.tool_calls)
        case Cancelled(reason):
            yield Failed(reason)
        case _:
            yield outcome


def text_of(answered: Answered) -> str:
    """The text of an answer: its JSON where it is none, empty where there are tool calls and nothing else."""
    if isinstance(answered.result, str):
        return answered.result
    return "" if answered.tool_calls else orjson.dumps(answered.result).decode()
