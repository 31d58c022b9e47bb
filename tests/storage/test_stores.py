"""Stores of records: what all of them promise, and what becomes of their faults."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from deployments.storage import redis as redis_records
from deployments.storage import sqlite
from deployments.storage.redis import RedisRecords
from deployments.storage.sqlite import SqliteRecords
from deployments.storage.store import RecordMissingError, RecordStore, StoreUnreachableError
from tests.redis_server import RedisServer

HOUR = 3600.0


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def files_with(text: bytes, folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if text in file.read_bytes()]


@pytest.fixture(params=["sqlite", "fakeredis", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordStore]:
    made: RecordStore
    match request.param:
        case "sqlite":
            made = SqliteRecords(str(tmp_path / "records"))
        case "fakeredis":
            made = RedisRecords(FakeAsyncRedis())
        case _:
            made = RedisRecords.at(request.getfixturevalue("redis").url)
    yield made
    await made.aclose()


async def test_a_record_is_there_until_it_is_deleted(store: RecordStore) -> None:
    await store.save("a", b"1", HOUR)
    await store.save("b", b"2", HOUR)
    await store.save("a", b"3", HOUR)

    assert (await store.load("a"), await store.load("b")) == (b"3", b"2")
    assert [await store.delete("a"), await store.delete("a")] == [True, False]
    with pytest.raises(RecordMissingError):
        await store.load("a")
    assert await store.load("b") == b"2"


async def test_a_record_whose_time_is_over_is_not_there() -> None:
    server = FakeServer()
    redis = FakeAsyncRedis(server=server)
    await RedisRecords(redis).save("a", b"1", HOUR)

    assert HOUR - 2 < await redis.ttl("neverblank:record:a") <= HOUR


async def test_a_file_of_sqlite_grows_no_larger_than_it_may_and_the_oldest_records_make_room(tmp_path: Path) -> None:
    most = 512 << 10
    now = iter(range(1000))
    store = SqliteRecords(str(tmp_path / "records"), lambda: float(next(now)), most)
    for number in range(100):
        await store.save(str(number), bytes(16 << 10), HOUR)
    size = (tmp_path / "records").stat().st_size

    for too_much, why in ((most, "it is full"), (most + 1, "larger than its file")):
        with pytest.raises(StoreUnreachableError, match=why):
            await store.save("too large", bytes(too_much), HOUR)
    await store.save("large", bytes(most // 2), HOUR)

    assert size <= most + (64 << 10)
    assert len(await store.load("large")) == most // 2
    with pytest.raises(RecordMissingError):
        await store.load("0")
    await store.aclose()


async def test_a_real_redis_forgets_a_record_whose_time_is_over(redis: RedisServer) -> None:
    store = RedisRecords.at(redis.url)
    await store.save("a", b"1", 0.2)
    kept = await store.load("a")
    async with asyncio.timeout(10):
        while redis.names():  # noqa: ASYNC110 - another process, which has the clock
            await asyncio.sleep(0.05)

    with pytest.raises(RecordMissingError):
        await store.load("a")
    assert kept == b"1"
    await store.aclose()


async def test_a_real_redis_that_was_gone_is_asked_again(redis: RedisServer) -> None:
    store = RedisRecords.at(redis.url)
    await store.save("a", b"1", HOUR)
    redis.stop()
    for question in (store.save("a", b"1", HOUR), store.load("a"), store.delete("a")):
        with pytest.raises(StoreUnreachableError):
            await question
    redis.start()

    with pytest.raises(RecordMissingError):
        await store.load("a")
    await store.save("a", b"2", HOUR)
    assert await store.load("a") == b"2"
    await store.aclose()


async def test_questions_beyond_the_connections_to_a_redis_wait_and_none_is_refused(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_records, "CONNECTIONS", 2)
    monkeypatch.setattr(redis_records, "_ANSWERS_S", 30.0)
    store, keys = RedisRecords.at(redis.url), [str(number) for number in range(30)]

    await asyncio.gather(*(store.save(key, key.encode(), HOUR) for key in keys))

    assert await asyncio.gather(*map(store.load, keys)) == [key.encode() for key in keys]
    assert all(await asyncio.gather(*map(store.delete, keys)))
    await store.aclose()


async def test_sqlite_deletes_what_is_over_with_what_is_saved_next(tmp_path: Path) -> None:
    now = [0.0]
    path = str(tmp_path / "records")
    store = SqliteRecords(path, lambda: now[0])
    await store.save("a", b"1", HOUR)
    await store.save("b", b"2", 3 * HOUR)

    now[0] = HOUR
    with pytest.raises(RecordMissingError):
        await store.load("a")
    await store.save("c", b"3", HOUR)
    await store.aclose()

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT key FROM records ORDER BY key").fetchall() == [("b",), ("c",)]
    connection.close()


async def test_a_record_that_was_deleted_is_in_no_file_any_more_while_routers_have_it_open(tmp_path: Path) -> None:
    path = str(tmp_path / "records")
    one, other = SqliteRecords(path), SqliteRecords(path)
    await one.save("a", b"secret" * 100, HOUR)
    assert (await other.load("a"), files_with(b"secret", tmp_path)) == (b"secret" * 100, ["records-wal"])

    assert await one.delete("a")

    assert files_with(b"secret", tmp_path) == []
    await one.aclose()
    await other.aclose()


async def test_two_routers_share_a_file_that_is_its_owners_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "records")
    one, other = SqliteRecords(path), SqliteRecords(path)

    await one.save("a", b"1", HOUR)

    assert await other.load("a") == b"1"
    assert mode_of(path) == 0o600
    await one.aclose()
    await other.aclose()


async def test_a_file_that_cannot_be_opened_is_a_store_that_cannot_be_asked_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    store = SqliteRecords(str(folder / "records"))

    with pytest.raises(StoreUnreachableError):
        await store.save("a", b"1", HOUR)
    folder.mkdir()
    await store.save("a", b"1", HOUR)

    assert await store.load("a") == b"1"
    await store.aclose()


async def test_a_disk_that_does_not_answer_holds_up_no_more_than_so_many_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_PENDING", 2)
    store, answers = SqliteRecords(str(tmp_path / "records")), threading.Event()
    connect = SqliteRecords._connection
    monkeypatch.setattr(SqliteRecords, "_connection", lambda self: (answers.wait(), connect(self))[1])
    asked = [asyncio.create_task(store.save(key, b"1", HOUR)) for key in "ab"]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnreachableError, match="too many"):
        await store.load("a")
    answers.set()
    await asyncio.gather(*asked)

    assert await store.load("b") == b"1"
    await store.aclose()


async def test_a_redis_that_is_away_cannot_be_asked() -> None:
    server = FakeServer()
    store = RedisRecords(FakeAsyncRedis(server=server))
    server.connected = False

    for question in (store.save("a", b"1", HOUR), store.load("a"), store.delete("a")):
        with pytest.raises(StoreUnreachableError):
            await question
