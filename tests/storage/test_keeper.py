"""Where responses are kept, for how long, and what a store that does not answer costs."""

import asyncio
from typing import Any

import pytest

from deployments.storage.keeper import STORE_ANSWERS_S, KeptResponse, ResponseKeeper, open_store
from deployments.storage.redis import RedisRecords
from deployments.storage.sqlite import SqliteRecords
from deployments.storage.store import RecordMissingError, StoreUnreachableError

RESPONSE = KeptResponse({"id": "resp_1"}, ({"role": "user", "content": "Hi"},))


class Shelf:
    """A store in memory, which may be slow or away."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.seconds: list[float] = []
        self.takes_s = 0.0
        self.is_away = False
        self.closed = False

    async def _answer(self) -> None:
        await asyncio.sleep(self.takes_s)
        if self.is_away:
            raise StoreUnreachableError("away")

    async def save(self, key: str, record: bytes, seconds: float) -> None:
        await self._answer()
        self.records[key] = record
        self.seconds.append(seconds)

    async def load(self, key: str) -> bytes:
        await self._answer()
        if key not in self.records:
            raise RecordMissingError(key)
        return self.records[key]

    async def delete(self, key: str) -> bool:
        await self._answer()
        return self.records.pop(key, b"") != b""

    async def aclose(self) -> None:
        self.closed = True


def keeper_of(shelf: Shelf) -> ResponseKeeper:
    keeper = ResponseKeeper(lambda *_: shelf)
    keeper.use("sqlite:/x", "", 60.0)
    return keeper


async def test_a_response_is_kept_for_the_time_of_the_policy_and_found_again() -> None:
    shelf = Shelf()
    keeper = keeper_of(shelf)

    assert await keeper.keep("1", RESPONSE)

    assert (await keeper.find("1"), shelf.seconds) == (RESPONSE, [60.0])
    assert [await keeper.forget("1"), await keeper.forget("1")] == [True, False]
    with pytest.raises(RecordMissingError):
        await keeper.find("1")


@pytest.mark.looptime
@pytest.mark.parametrize("trouble", ["away", "slow"])
async def test_a_store_that_does_not_answer_is_logged_and_waited_for_in_bounds(
    trouble: str, events: list[dict[str, Any]]
) -> None:
    shelf = Shelf()
    shelf.is_away, shelf.takes_s = trouble == "away", 60.0 if trouble == "slow" else 0.0
    keeper = keeper_of(shelf)

    assert not await keeper.keep("1", RESPONSE)
    with pytest.raises(StoreUnreachableError):
        await keeper.find("1")
    with pytest.raises(StoreUnreachableError):
        await keeper.forget("1")

    assert asyncio.get_running_loop().time() == (3 * STORE_ANSWERS_S if trouble == "slow" else 0.0)
    assert [line["event"] for line in events] == ["store_unreachable"] * 3


async def test_what_is_wrong_with_the_store_is_told_until_it_answers_again() -> None:
    shelf = Shelf()
    keeper = ResponseKeeper(lambda *_: shelf)
    off = keeper.describe()
    keeper.use("redis://host", "", 60)
    shelf.is_away = True
    assert not await keeper.keep("a", RESPONSE)
    away = keeper.describe()
    shelf.is_away = False
    assert await keeper.keep("a", RESPONSE)

    assert (off["on"], away) == (False, {"on": True, "reachable": False, "reason": "away"})
    assert keeper.describe() == {"on": True, "reachable": True, "reason": ""}


async def test_a_policy_that_changes_takes_the_store_along_or_leaves_it() -> None:
    shelves: list[Shelf] = []

    def opens(_address: str, _password: str, _most_bytes: int) -> Shelf:
        shelves.append(Shelf())
        return shelves[-1]

    keeper = ResponseKeeper(opens)
    keeper.use("", "", 1.0)
    is_on = [keeper.is_on]
    for address in ("sqlite:/a", "sqlite:/a", "sqlite:/b", ""):
        keeper.use(address, "", 1.0)
        await asyncio.sleep(0)
        is_on.append(keeper.is_on)

    assert is_on == [False, True, True, True, False]
    assert [shelf.closed for shelf in shelves] == [True, True]


async def test_a_store_before_that_cannot_be_closed_is_told_and_costs_nobody_anything(
    events: list[dict[str, Any]],
) -> None:
    class Stuck(Shelf):
        async def aclose(self) -> None:
            raise OSError("stuck")

    keeper = keeper_of(Stuck())
    keeper.use("", "", 1.0)

    await keeper.aclose()

    assert [(line["event"], line["where"]) for line in events] == [("internal_error", "responses")]


async def test_an_address_says_what_the_store_is() -> None:
    stores = [open_store("sqlite:/tmp/x", ""), open_store("redis://localhost:6379/0", "secret")]

    assert [type(store) for store in stores] == [SqliteRecords, RedisRecords]
    for store in stores:
        await store.aclose()
