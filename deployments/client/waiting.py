"""Waits for what a router answers through a deployment handle, and never longer than was agreed.

The handle's calls are awaited in tasks of their own, for two reasons. A caller that stops waiting keeps the response,
and can cancel the call by it. And a router that goes down cancels the call under its caller, who has cancelled nothing:
in a task of its own, that cancellation is an error like any other.

    TimeoutError       the router did not answer in time
    ConnectionError    the call was cancelled from outside, as its router went down
    anything else      what Serve raised
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

_GONE = "the router went down under the call"


async def wait_for_response(response: Any, max_wait_s: float | None) -> dict[str, Any]:
    """Return the result of `response`, a `DeploymentResponse`; a call that is given up is cancelled.

    Args:
        response: as a handle's `remote` gives it.
        max_wait_s: how long to wait; `None` for as long as it takes.

    Raises:
        TimeoutError: it took longer.
        ConnectionError: the router went down.
        Exception: whatever else Serve raises.
    """
    waiting = asyncio.ensure_future(_awaited(response))
    try:
        body: dict[str, Any] = await _wait(waiting, max_wait_s, "the router did not answer")
    finally:
        if not waiting.done():
            waiting.cancel()
            _cancel(response)
    return body


class StreamPieces:
    """The items of a stream that a router gives through a handle."""

    def __init__(self, response: Any) -> None:
        """Read `response`, a `DeploymentResponseGenerator`."""
        self._response = response
        self._waiting: asyncio.Future[Any] | None = None

    async def next(self, max_wait_s: float) -> dict[str, Any] | None:
        """The next item, or `None` behind the last one.

        Raises:
            TimeoutError: no item came within `max_wait_s` seconds.
            ConnectionError: the router went down.
            Exception: whatever else Serve raises.
        """
        self._waiting = asyncio.ensure_future(_awaited(anext(self._response, None)))
        item: dict[str, Any] | None = await _wait(self._waiting, max_wait_s, "the router did not go on")
        return item

    async def aclose(self) -> None:
        """Stop the stream, and whoever is writing it."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.cancel()
        _cancel(self._response)


def _cancel(response: Any) -> None:
    """Cancel a call, down to its router. Of one that no router has taken, Serve raises why once more: nothing runs."""
    try:
        response.cancel()
    except Exception:  # noqa: BLE001 - who waits for the call has been told
        return


async def _awaited(response: Awaitable[Any]) -> Any:
    return await response


async def _wait(waiting: "asyncio.Future[Any]", max_wait_s: float | None, late: str) -> Any:
    done, _ = await asyncio.wait({waiting}, timeout=max_wait_s)
    if not done:
        raise TimeoutError(late)
    if waiting.cancelled():
        raise ConnectionError(_GONE)
    return waiting.result()
