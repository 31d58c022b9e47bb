"""Keeps responses where and for as long as the policy says; nowhere, unless it names a store.

That a store cannot be asked costs no answer: a response is then given without being kept, and says so. A conversation
that cannot be found now cannot be gone on with: `StoreUnreachableError`.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from msgspec import Struct

from deployments.observability import log
from deployments.observability.chores import Chores
from deployments.storage.redis import RedisRecords
from deployments.storage.sqlite import MOST_BYTES, SqliteRecords
from deployments.storage.store import RecordStore, StoreUnreachableError

STORE_ANSWERS_S = 2.0
"""Seconds that a store has for one question."""

_SQLITE = "sqlite:"


class KeptResponse(Struct, frozen=True):
    """A response, and the conversation that it ends.

    Attributes:
        body: the response as it was given.
        items: the items of the conversation, those of the response among them.
    """

    body: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]


def open_store(address: str, password: str, most_bytes: int = MOST_BYTES) -> RecordStore:
    """Return the store at `address`: `sqlite:<path>`, `redis://…` or `rediss://…`. It is asked later.

    A file of SQLite has at most so many bytes; a Redis has a bound of its own.
    """
    if address.startswith(_SQLITE):
        return SqliteRecords(address.removeprefix(_SQLITE), most_bytes=most_bytes)
    return RedisRecords.at(address, password)


class ResponseKeeper:
    """Keeps responses; off until `use` names a store."""

    def __init__(self, opens: Callable[[str, str, int], RecordStore] = open_store) -> None:
        self._opens = opens
        self._store: RecordStore | None = None
        self._used = ("", "", 0)
        self._seconds = 0.0
        self._retiring = Chores("responses")
        self._trouble = ""

    @property
    def is_on(self) -> bool:
        """Whether responses are kept."""
        return self._store is not None

    def describe(self) -> dict[str, Any]:
        """Return whether responses are kept, and what was wrong with the store at its last answer, for `/status`."""
        return {"on": self.is_on, "reachable": not self._trouble, "reason": self._trouble}

    def use(self, address: str, password: str, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        """Keep responses in the store at `address` from now on; see `prepare`."""
        self.prepare(address, password, seconds, most_bytes)()

    def prepare(self, address: str, password: str, seconds: float, most_bytes: int = MOST_BYTES) -> Callable[[], None]:
        """Return what has responses kept at `address` for so many `seconds`; nowhere where that is empty.

        Raises:
            RuntimeError: another store has to be closed, but no event loop is running.
        """
        before = self._store
        used = (address, password, most_bytes)
        if used == self._used:
            return partial(self._put_in_force, before, self._used, seconds)
        if before is not None:
            asyncio.get_running_loop()  # or this raises, before anything is changed
        store = self._opens(*used) if address else None

        def change() -> None:
            self._put_in_force(store, used, seconds)
            if before is not None:
                self._retiring.start(before.aclose())

        return change

    def _put_in_force(self, store: RecordStore | None, used: tuple[str, str, int], seconds: float) -> None:
        if used != self._used:
            self._trouble = ""
        self._store, self._used, self._seconds = store, used, seconds

    async def keep(self, key: str, response: KeptResponse, seconds: float = STORE_ANSWERS_S) -> bool:
        """Keep a response, for which the store has so many `seconds`; return whether it is kept."""
        record = orjson.dumps({"body": response.body, "items": response.items})
        try:
            async with asyncio.timeout(seconds):
                await self._open().save(key, record, self._seconds)
        except (StoreUnreachableError, TimeoutError) as error:
            self._note(error, seconds)
            return False
        self._trouble = ""
        return True

    async def find(self, key: str, seconds: float = STORE_ANSWERS_S) -> KeptResponse:
        """Return a response, for which the store has so many `seconds`.

        Raises:
            RecordMissingError: it is not kept, or not any more.
            StoreUnreachableError: that cannot be found out now.
        """
        try:
            async with asyncio.timeout(seconds):
                record = await self._open().load(key)
        except (StoreUnreachableError, TimeoutError) as error:
            raise self._note(error, seconds) from error
        self._trouble = ""
        found = orjson.loads(record)
        return KeptResponse(found["body"], tuple(found["items"]))

    async def forget(self, key: str) -> bool:
        """Delete a response; return whether there was one.

        Raises:
            StoreUnreachableError: it cannot be deleted now.
        """
        try:
            async with asyncio.timeout(STORE_ANSWERS_S):
                deleted = await self._open().delete(key)
        except (StoreUnreachableError, TimeoutError) as error:
            raise self._note(error) from error
        self._trouble = ""
        return deleted

    async def aclose(self) -> None:
        """Close the connections to the store, and to those before."""
        await self._retiring.finish()
        if self._store is not None:
            await self._store.aclose()

    def _open(self) -> RecordStore:
        if self._store is None:
            raise StoreUnreachableError("responses are not kept")
        return self._store

    def _note(self, error: Exception, seconds: float = STORE_ANSWERS_S) -> StoreUnreachableError:
        """Log that the store cannot be asked, and return what says so; it has had so many `seconds`."""
        reason = str(error) or f"it took longer than {max(0.0, seconds):.3g} s"
        if seconds >= STORE_ANSWERS_S or not isinstance(error, TimeoutError):  # else its caller was in haste
            self._trouble = reason
        log.store_unreachable(reason)
        return StoreUnreachableError(reason)
