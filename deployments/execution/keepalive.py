"""Signs of life for whoever reads a stream: in each long silence, an item that says that there is one to wait for."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

_Item = TypeVar("_Item")


async def with_signs_of_life(
    items: AsyncGenerator[_Item, None], silence_s: float, sign: Callable[[], _Item]
) -> AsyncGenerator[_Item, None]:
    """Give what `items` gives, and `sign()` in each silence of `silence_s` seconds; 0 for no signs.

    To close this closes `items`, of which nothing is read ahead.
    """
    coming: asyncio.Task[_Item] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(_next(items))
            while not (await asyncio.wait({coming}, timeout=silence_s or None))[0]:
                yield sign()
            try:
                item = coming.result()
            except _EndError:
                return
            yield item
    finally:
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.wait({coming})
        await items.aclose()


class _EndError(Exception):
    """There is no further item. A task cannot end with `StopAsyncIteration`."""


async def _next(items: AsyncGenerator[_Item, None]) -> _Item:
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _EndError from None
