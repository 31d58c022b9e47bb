"""Records in a file of SQLite, which the routers of one node share.

SQLite blocks, so one thread of its own asks it, one question behind the other. The file is the owner's alone; a deleted
record is overwritten, and is not in the write-ahead log any more. Records whose time is over are deleted with the next
ones that are saved; where the file has reached its largest size, so are those whose time is over next.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deployments.storage.store import RecordMissingError, StoreUnreachableError

MOST_PENDING = 256
"""Questions that wait for the thread; further ones are refused at once: the disk does not answer."""

_BUSY_S = 1.0
_MOST_DELETED = 100
_MOST_DISPLACED, _MOST_FREED = 1000, 64 << 20
"""Records and bytes that give way to one: a file that is far too large becomes smaller step by step."""

MOST_BYTES = 1 << 30
"""The largest size of a file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, record BLOB NOT NULL, until REAL NOT NULL);
CREATE INDEX IF NOT EXISTS records_until ON records (until);
"""

_Given = TypeVar("_Given")


class SqliteRecords:
    """A `RecordStore` in one file."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time, most_bytes: int = MOST_BYTES) -> None:
        """Keep records in the file at `path`, made with the first of them; `clock` gives seconds since 1970.

        Of the file no more than `most_bytes` are used; a record that finds no room is not kept.
        """
        self._path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "records")
        self._pending = 0
        self._opened: sqlite3.Connection | None = None

    async def save(self, key: str, record: bytes, seconds: float) -> None:
        """See `RecordStore`."""
        if len(record) > self._most_bytes:
            raise StoreUnreachableError("a record is larger than its file may be")
        now = self._clock()

        def save(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute(
                    "DELETE FROM records WHERE key IN (SELECT key FROM records WHERE until <= ? LIMIT ?)",
                    (now, _MOST_DELETED),
                )
                excess = _used(connection) + len(record) - self._most_bytes
                _displace(connection, excess)
            if excess > 0 and _used(connection) + len(record) > self._most_bytes:
                raise StoreUnreachableError("it is full")
            with connection:
                connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (key, record, now + seconds))

        await self._ask(save)

    async def load(self, key: str) -> bytes:
        """See `RecordStore`."""
        now = self._clock()

        def load(connection: sqlite3.Connection) -> list[tuple[bytes]]:
            return connection.execute("SELECT record FROM records WHERE key = ? AND until > ?", (key, now)).fetchall()

        found = await self._ask(load)
        if not found:
            raise RecordMissingError(key)
        return found[0][0]

    async def delete(self, key: str) -> bool:
        """See `RecordStore`."""

        def delete(connection: sqlite3.Connection) -> bool:
            with connection:
                was_there = connection.execute("DELETE FROM records WHERE key = ?", (key,)).rowcount > 0
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log has the record until it is full
            return was_there

        return await self._ask(delete)

    async def aclose(self) -> None:
        """See `RecordStore`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _ask(self, question: Callable[[sqlite3.Connection], _Given]) -> _Given:
        if self._pending >= MOST_PENDING:
            raise StoreUnreachableError("it has too many questions to answer")

        def ask() -> _Given:
            try:
                return question(self._connection())
            except (sqlite3.Error, OSError):
                self._close()  # the file may be another one by now
                raise

        try:
            asked = asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except RuntimeError as error:  # its thread has been shut down
            raise StoreUnreachableError("it is closed") from error
        self._pending += 1
        asked.add_done_callback(self._answered)
        try:
            return await asyncio.shield(asked)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnreachableError(f"{type(error).__name__}: {error}") from error

    def _answered(self, asked: "asyncio.Future[_Given]") -> None:
        self._pending -= 1
        if not asked.cancelled():
            asked.exception()  # whoever asked may have gone

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self._path, timeout=_BUSY_S)
            self._opened = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.executescript(_SCHEMA)
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _used(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that are in use; the others are used again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {fact}").fetchone()[0] for fact in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _displace(connection: sqlite3.Connection, excess: int) -> None:
    """Delete the records whose time is over next, until about `excess` bytes are free, within bounds."""
    if excess <= 0:
        return
    oldest = connection.execute(
        "SELECT key, length(record) FROM records ORDER BY until LIMIT ?", (_MOST_DISPLACED,)
    ).fetchall()
    freed = 0
    for key, size in oldest:
        if freed >= min(excess, _MOST_FREED):
            return
        connection.execute("DELETE FROM records WHERE key = ?", (key,))
        freed += size
