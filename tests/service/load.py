"""Steady load on a service, from one asyncio loop: what every request got, and when."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp


@dataclass(frozen=True, slots=True)
class Got:
    """What one request got.

    Attributes:
        started: when it was sent, on the monotonic clock.
        seconds: until its answer was read.
        status: the HTTP status; 0 where there was no response.
        body: its JSON; empty where there was none.
        error: why there was none.
    """

    started: float
    seconds: float
    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def answered(self) -> bool:
        """It has an answer that is not blank."""
        return bool(str(self.body.get("result", "")).strip())

    @property
    def served_by(self) -> str:
        """The tier."""
        return str(self.body.get("served_by", ""))


class Client:
    """Asks one service."""

    def __init__(self, port: int, connections: int = 0) -> None:
        """Ask the service at `port` over at most `connections` connections; 0 sets no limit."""
        self._url = f"http://127.0.0.1:{port}/v1/infer/"
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open."""
        timeout = aiohttp.ClientTimeout(total=60)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self._connections), timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        assert self._session is not None
        await self._session.close()

    async def ask(self, model: str, body: Mapping[str, Any]) -> Got:
        """Ask once; a connection that breaks is told, not raised."""
        assert self._session is not None
        started = time.monotonic()
        try:
            async with self._session.post(self._url + model, json=body) as response:
                read = await response.json(content_type=None)
                return Got(started, time.monotonic() - started, response.status, read)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Got(started, time.monotonic() - started, error=f"{type(error).__name__}: {error}")


async def at_rate(ask: Callable[[], Awaitable[Got]], per_second: float, seconds: float) -> list[Got]:
    """Ask `per_second` times a second for `seconds`, whether the earlier ones are answered or not (an open loop)."""
    start = time.monotonic()
    tasks = []
    for n in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, start + n / per_second - time.monotonic()))
        tasks.append(asyncio.ensure_future(ask()))
    return list(await asyncio.gather(*tasks))


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
