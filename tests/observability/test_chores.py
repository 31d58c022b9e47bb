"""What is closed is closed to its end, whatever one part of it raises."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from deployments.observability.chores import close_all


def closing(name: str, closed: list[str], error: BaseException | None = None) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        closed.append(name)
        await asyncio.sleep(0)
        if error is not None:
            raise error

    return close


async def test_every_one_is_closed_and_all_that_was_raised_is_logged(events: list[dict[str, Any]]) -> None:
    closed: list[str] = []

    await close_all(
        "router",
        closing("a", closed, OSError("first")),
        closing("b", closed),
        closing("c", closed, ValueError("second")),
    )

    assert closed == ["a", "b", "c"]
    assert [(event["event"], event["where"]) for event in events] == [("internal_error", "router")] * 2
    assert [event["reason"] for event in events] == ["first", "second"]


async def test_one_that_is_cancelled_leaves_none_of_the_others_open() -> None:
    closed: list[str] = []

    with pytest.raises(asyncio.CancelledError):
        await close_all("router", closing("a", closed, asyncio.CancelledError()), closing("b", closed))

    assert closed == ["a", "b"]
