"""Where kept answers are: in the memory of a router, or in a Redis that all routers share."""

import asyncio
import time
from typing import Any, Protocol

from cachetools import TLRUCache
from redis import asyncio as redis
from redis.exceptions import RedisError

from deployments.observability import log
from deployments.policy.reason import reason_of
from deployments.settings.cache import MEMORY, CacheSettings

REDIS_TIMEOUT_S = 0.25
"""How long a Redis may take, connecting included: it is asked when a deadline is nearly over."""

ENTRY_BYTES = 1 << 14
"""Bytes that an answer may have in the place of one; a longer one takes the places of several."""

_PREFIX = "neverblank:answer:"
_MOST_WRITES = 64

_CONNECTIONS = 64
"""Connections to a Redis. A question beyond them waits: when many ask at once, all models have failed."""


class AnswerStore(Protocol):
    """Keeps bytes by a key, each for some seconds. It raises nothing: a store that fails has nothing."""

    async def get(self, key: str) -> bytes:
        """Return what is kept; empty where nothing is."""
        ...

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value`, soon."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what it says of itself, for `/status`."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class MemoryStore:
    """Keeps the most recently used answers of one router.

    An answer has the place of one for each `ENTRY_BYTES` that it has, so that the memory has a bound, too.
    """

    def __init__(self, entries: int) -> None:
        """Keep at most so many `entries`."""
        self._kept: TLRUCache[str, tuple[bytes, float]] = TLRUCache(
            entries, ttu=_expiry, timer=time.monotonic, getsizeof=_places
        )

    async def get(self, key: str) -> bytes:
        """Return what is kept; empty where nothing is."""
        return self._kept.get(key, (b"", 0.0))[0]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value`, unless there could never be room for it."""
        kept = (value, seconds)
        if _places(kept) <= self._kept.maxsize:
            self._kept[key] = kept

    def describe(self) -> dict[str, Any]:
        """Return how many answers are kept."""
        return {"store": MEMORY, "entries": len(self._kept)}

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""


def _places(kept: tuple[bytes, float]) -> int:
    return max(1, -(-len(kept[0]) // ENTRY_BYTES))


def _expiry(_key: str, value: tuple[bytes, float], now: float) -> float:
    return now + value[1]


class RedisStore:
    """Keeps answers in a Redis. One that is gone costs an answer at most `REDIS_TIMEOUT_S`, and is told once."""

    def __init__(self, url: str) -> None:
        """Connect to `url` when the first answer is kept or looked for."""
        self._redis = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, max_connections=_CONNECTIONS
        )
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._writes: set[asyncio.Task[None]] = set()
        self._reason = ""

    async def get(self, key: str) -> bytes:
        """Return what is kept; empty where nothing is, or the Redis does not say so in time."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S), self._turns:
                kept = await self._redis.get(_PREFIX + key)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(reason_of(error))
            return b""
        self._note("")
        return kept if isinstance(kept, bytes) else b""

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value`, soon; not while too many others are being written."""
        if len(self._writes) >= _MOST_WRITES:
            return
        task = asyncio.create_task(self._write(key, value, seconds), name="cache")
        self._writes.add(task)
        task.add_done_callback(self._written)

    def describe(self) -> dict[str, Any]:
        """Return whether the Redis answers, and what was wrong last."""
        return {"store": "redis", "reachable": not self._reason, "reason": self._reason}

    async def aclose(self) -> None:
        """Close the connections."""
        for task in list(self._writes):
            task.cancel()
        await self._redis.aclose()

    async def _write(self, key: str, value: bytes, seconds: float) -> None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S), self._turns:
                await self._redis.set(_PREFIX + key, value, px=max(1, round(seconds * 1000)))
        except (RedisError, OSError, TimeoutError) as error:
            self._note(reason_of(error))
        else:
            self._note("")

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.internal_error("cache", "", error)

    def _note(self, reason: str) -> None:
        if bool(reason) is not bool(self._reason):
            log.cache_changed(reason)
        self._reason = reason


class AnswerStores:
    """The store that the settings in force name; one that they name no longer is closed."""

    def __init__(self) -> None:
        """Begin with none."""
        self._store: AnswerStore | None = None
        self._made_for: tuple[str, int] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, settings: CacheSettings) -> AnswerStore:
        """Return the store of `settings`."""
        wanted = (settings.store, settings.entries)
        if self._store is None or wanted != self._made_for:
            if self._store is not None:
                task = asyncio.create_task(self._store.aclose(), name="cache")
                self._closing.add(task)
                task.add_done_callback(self._closed)
            self._store = MemoryStore(settings.entries) if settings.store == MEMORY else RedisStore(settings.store)
            self._made_for = wanted
        return self._store

    async def aclose(self) -> None:
        """Close all stores."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._store is not None:
            await self._store.aclose()

    def _closed(self, task: "asyncio.Task[None]") -> None:
        self._closing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.internal_error("cache", "", error)
