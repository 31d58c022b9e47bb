"""Several streams read together: those of one call with several prompts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from deployments.policy.attempt import Tier
from deployments.policy.stream_events import AnswerStream, StreamEvent, StreamHead


class StreamsTogether:
    """An `AnswerStream` of several. Its head is that of the stream that is furthest from the primary tier."""

    def __init__(self, streams: Sequence[AnswerStream]) -> None:
        """Read `streams`, which are open."""
        self._streams = streams

    @property
    def heads(self) -> Sequence[StreamHead]:
        """The heads of all streams, in their order."""
        return [stream.head for stream in self._streams]

    @property
    def head(self) -> StreamHead:
        """The head that describes them together."""
        return max(self.heads, key=lambda head: list(Tier).index(head.served_by))

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Give the events of all streams, as they come."""
        async for _, item in self.each():
            yield item

    async def each(self) -> AsyncIterator[tuple[int, StreamEvent]]:
        """Give the events of all streams as they come, each with the place of its stream.

        Of each stream one event is read ahead of the reader.
        """
        iterators = [aiter(stream) for stream in self._streams]
        reading = {asyncio.ensure_future(_next(iterator)): place for place, iterator in enumerate(iterators)}
        try:
            while reading:
                done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=reading.__getitem__):
                    place = reading.pop(task)
                    if (item := task.result()) is not None:
                        yield place, item
                        reading[asyncio.ensure_future(_next(iterators[place]))] = place
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop all streams."""
        async with AsyncExitStack() as exits:
            for stream in self._streams:
                exits.push_async_callback(stream.aclose)


async def open_all(openings: Sequence[Callable[[], Awaitable[AnswerStream]]]) -> StreamsTogether:
    """Open all streams at the same time; where one cannot be opened, the others are stopped.

    Raises:
        InvalidRequestError: one of the requests is invalid.
    """
    tasks = [asyncio.ensure_future(opening()) for opening in openings]
    try:
        return StreamsTogether(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        opened = await asyncio.gather(*tasks, return_exceptions=True)
        await StreamsTogether([each for each in opened if not isinstance(each, BaseException)]).aclose()
        raise


async def _next(iterator: AsyncIterator[StreamEvent]) -> StreamEvent | None:
    return await anext(iterator, None)
