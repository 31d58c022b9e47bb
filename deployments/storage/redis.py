"""Records in Redis, which the routers of several nodes share. Redis itself ends a record's time.

A client of Redis refuses what is beyond its connections, as if nobody were there. Here such questions wait: whoever
asks says how long.
"""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deployments.storage.store import RecordMissingError, StoreUnreachableError

_PREFIX = "neverblank:record:"
_ANSWERS_S = 1.0

CONNECTIONS = 64
"""Connections of one store to its Redis, and so questions that it answers at a time."""


class RedisRecords:
    """A `RecordStore` in one Redis."""

    def __init__(self, redis: Redis) -> None:
        """Keep records in `redis`."""
        self._redis = redis
        self._turns = asyncio.Semaphore(CONNECTIONS)

    @classmethod
    def at(cls, address: str, password: str = "") -> "RedisRecords":
        """Return the store at an address such as `redis://host:6379/0`; it is connected to with the first question."""
        return cls(
            Redis.from_url(
                address,
                password=password or None,
                socket_timeout=_ANSWERS_S,
                socket_connect_timeout=_ANSWERS_S,
                max_connections=CONNECTIONS,
            )
        )

    async def save(self, key: str, record: bytes, seconds: float) -> None:
        """See `RecordStore`."""
        try:
            async with self._turns:
                await self._redis.set(_PREFIX + key, record, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            raise _unreachable(error) from error

    async def load(self, key: str) -> bytes:
        """See `RecordStore`."""
        try:
            async with self._turns:
                record = await self._redis.get(_PREFIX + key)
        except (RedisError, OSError) as error:
            raise _unreachable(error) from error
        if record is None:
            raise RecordMissingError(key)
        return record if isinstance(record, bytes) else record.encode()

    async def delete(self, key: str) -> bool:
        """See `RecordStore`."""
        try:
            async with self._turns:
                return bool(await self._redis.delete(_PREFIX + key))
        except (RedisError, OSError) as error:
            raise _unreachable(error) from error

    async def aclose(self) -> None:
        """See `RecordStore`."""
        await self._redis.aclose()


def _unreachable(error: Exception) -> StoreUnreachableError:
    return StoreUnreachableError(f"{type(error).__name__}: {error}")
