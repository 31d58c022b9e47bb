"""Where answers are kept for the cache: what makes two requests identical, and how much room there is."""

import asyncio

import pytest

from deployments.router import answer_stores
from deployments.router.answer_cache import AnswerCache
from deployments.router.answer_stores import ENTRY_BYTES, MemoryStore, RedisStore
from deployments.settings import PolicySettings, SettingsError
from deployments.settings.cache import CacheSettings
from tests.redis_server import RedisServer
from tests.upstream.test_messages_request import a_message

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def test_the_address_of_the_store_with_its_password_is_in_no_log_line() -> None:
    told = PolicySettings.model_validate({"cache": {"store": "redis://:secret@there:6379/0"}}).to_log()

    assert told["cache"] == {"store": "redis"}


def test_a_password_in_an_address_that_does_not_fit_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as refused:
        PolicySettings().with_overrides({"cache": {"store": "redis//:secret@there"}}, {})

    assert "cache.store" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_requests_that_differ_in_the_words_of_their_own_format_alone_are_not_identical() -> None:
    cache = AnswerCache(lambda: CacheSettings(seconds=60))
    asked = [a_message(), a_message(context_management={"edits": []}), a_message(headers={"anthropic-beta": "x"})]

    assert len({cache.key_of(request, "m") for request in asked}) == len(asked)
    assert cache.key_of(a_message(), "m") == cache.key_of(a_message(), "m") != ""


async def test_the_oldest_answers_make_room_for_new_ones() -> None:
    store = MemoryStore(2)
    for key in ("a", "b", "c"):
        store.put(key, key.encode(), 60)

    assert [await store.get(key) for key in ("a", "b", "c")] == [b"", b"b", b"c"]


async def test_a_long_answer_has_the_places_of_several_and_one_without_room_is_not_kept() -> None:
    store = MemoryStore(2)
    for key, size in (("a", 1), ("b", 1), ("long", ENTRY_BYTES + 1), ("too long", 3 * ENTRY_BYTES)):
        store.put(key, b"x" * size, 60)

    assert [len(await store.get(key)) for key in ("a", "b", "long", "too long")] == [0, 0, ENTRY_BYTES + 1, 0]


async def test_an_answer_is_kept_for_as_long_as_the_policy_says() -> None:
    store = MemoryStore(2)
    store.put("a", b"a", -1)

    assert await store.get("a") == b""


async def test_when_all_models_have_failed_at_once_each_caller_gets_the_earlier_answer_that_a_redis_has(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stores, "_CONNECTIONS", 2)
    monkeypatch.setattr(answer_stores, "REDIS_TIMEOUT_S", 30.0)
    store = RedisStore(redis.url)
    store.put("a", b"earlier", 60)
    await asyncio.gather(*store._writes)

    found = await asyncio.gather(*(store.get("a") for _ in range(30)))

    assert found == [b"earlier"] * 30
    assert store.describe()["reachable"] is True
    await store.aclose()
