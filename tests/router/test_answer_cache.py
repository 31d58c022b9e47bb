"""The cache: an exact earlier answer before the last resort, and one answer for identical requests in flight."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from deployments.execution.clock import loop_time
from deployments.observability import metric_table as table
from deployments.observability.metrics import drain_counts
from deployments.policy.answer import Answer
from deployments.policy.last_resort import LastResort
from deployments.router.answer_cache import AnswerCache
from deployments.router.answer_stores import AnswerStore, AnswerStores, MemoryStore
from deployments.router.router import Router
from deployments.settings.cache import CacheSettings
from tests.fakes import a_request
from tests.http.service import an_answer
from tests.http.wire import CHAT, send
from tests.redis_server import RedisServer
from tests.router.test_drills import answered
from tests.router.test_last_resort import a_ready_router
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@asynccontextmanager
async def one_model(faulty: FaultyUpstream, scenario: str = "healthy", **cache: Any) -> AsyncIterator[Router]:
    """A router with one remote model, `m`, that keeps answers."""
    router = await a_ready_router(remotes=remote(faulty, scenario), cache={"seconds": 60, **cache})
    yield router
    await router._upstreams.aclose()
    await router._answering.aclose()


def remote(faulty: FaultyUpstream, scenario: str) -> dict[str, Any]:
    return {"m": {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": scenario}}


async def ask(router: Router, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    headers = {"x-neverblank-tiers": "primary", **(headers or {})}
    return await send(router, "/v1/chat/completions", {**CHAT, "model": "m", **more}, headers=headers)


def break_model(router: Router, faulty: FaultyUpstream) -> None:
    """From now on the model answers 500."""
    router.reconfigure({**router._policy.model_dump(exclude_unset=True), "remotes": remote(faulty, "status-500")})


@pytest.mark.parametrize("stream", [False, True])
async def test_where_no_model_answers_an_exact_earlier_answer_is_given_and_marked(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    async with one_model(faulty) as router:
        await ask(router)
        break_model(router, faulty)
        response = await ask(router, stream=stream)
        text, told = answered(response)

    assert text == TEXT
    assert response.headers["x-neverblank-served-by"] == "cache"
    assert (told["served_by"], told["degraded"]) == ("cache", True)
    assert [attempt["outcome"] for attempt in told["attempts"]].count("failed") >= 1
    assert router.describe()["answers"]["cache"] == 1


async def test_while_a_model_answers_no_earlier_answer_is_given(faulty: FaultyUpstream) -> None:
    async with one_model(faulty) as router:
        await ask(router)
        response = await ask(router)

    assert response.headers["x-neverblank-served-by"] == "primary"


@pytest.mark.parametrize(
    "other",
    [{"messages": [{"role": "user", "content": "Ho"}]}, {"temperature": 0.5}, {"max_tokens": 7}, {"tools": TOOLS}],
    ids=["text", "temperature", "max_tokens", "tools"],
)
async def test_another_request_gets_no_earlier_answer(faulty: FaultyUpstream, other: dict[str, Any]) -> None:
    async with one_model(faulty) as router:
        await ask(router)
        break_model(router, faulty)
        response = await ask(router, **other)

    assert response.headers["x-neverblank-served-by"] == "last_resort"


@pytest.mark.parametrize("at", ["keeping", "asking"])
async def test_a_caller_who_says_no_is_neither_kept_nor_answered_from_the_cache(
    faulty: FaultyUpstream, at: str
) -> None:
    no = {"x-neverblank-cache": "false"}
    async with one_model(faulty) as router:
        await ask(router, no if at == "keeping" else None)
        break_model(router, faulty)
        response = await ask(router, no if at == "asking" else None)

    assert response.headers["x-neverblank-served-by"] == "last_resort"


@pytest.mark.parametrize("scenario", ["cut-short", "calls-a-tool", "filtered"])
async def test_an_answer_that_is_not_a_complete_text_is_not_kept(faulty: FaultyUpstream, scenario: str) -> None:
    async with one_model(faulty, scenario) as router:
        await ask(router)
        break_model(router, faulty)
        response = await ask(router)

    assert response.headers["x-neverblank-served-by"] == "last_resort"


def test_a_request_that_others_may_answer_has_another_key() -> None:
    cache, asked = AnswerCache(lambda: CacheSettings(seconds=60)), a_request(text="Hi")
    narrower = [replace(asked, fallback=False), replace(asked, strict=True), replace(asked, tiers=frozenset())]

    assert len({cache.key_of(each, "m") for each in (asked, *narrower)}) == 4


async def test_off_nothing_is_kept(faulty: FaultyUpstream) -> None:
    async with one_model(faulty, seconds=0) as router:
        await ask(router)
        break_model(router, faulty)
        response = await ask(router)

    assert response.headers["x-neverblank-served-by"] == "last_resort"


async def test_identical_requests_in_flight_share_one_answer(faulty: FaultyUpstream) -> None:
    async with one_model(faulty) as router:
        before = len(faulty.requests)
        drain_counts()
        responses = await asyncio.gather(*(ask(router) for _ in range(5)))

    assert {answered(response)[0] for response in responses} == {TEXT}
    assert len(faulty.requests) - before == 1
    counted = drain_counts().counted
    assert counted[table.ATTEMPTS, ("m", "answered", "next")] == 1
    assert counted[table.ANSWERS, ("primary", "m", "false")] == 5
    assert router.describe()["in_flight"] == 0


async def test_where_the_first_of_them_leaves_the_others_are_answered() -> None:
    cache, asked, begun = AnswerCache(lambda: CacheSettings(seconds=60)), a_request(text="Hi"), asyncio.Event()

    async def never() -> Answer:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def at_once() -> Answer:
        return an_answer("Hello.")

    first = asyncio.create_task(cache.share("key", asked, loop_time(), never))
    await begun.wait()
    other = asyncio.create_task(cache.share("key", asked, loop_time(), at_once))
    await asyncio.sleep(0)
    first.cancel()

    assert (await other)[0].result == "Hello."


@pytest.mark.looptime
@pytest.mark.parametrize("more", [{"timeout_s": 60.0}, {"hedge": False}, {"retry": False}, {"wait": False}], ids=str)
async def test_a_caller_for_whom_other_things_are_tried_gets_an_answer_of_his_own(more: dict[str, Any]) -> None:
    cache, asked = AnswerCache(lambda: CacheSettings(seconds=60)), a_request(text="Hi")

    async def soon(text: str) -> Answer:
        await asyncio.sleep(1)
        return an_answer(text)

    first = cache.share("key", asked, loop_time(), partial(soon, "first"))
    other = cache.share("key", replace(asked, **more), loop_time(), partial(soon, "other"))

    assert [answer.result for answer, _ in await asyncio.gather(first, other)] == ["first", "other"]


@pytest.mark.looptime
async def test_a_store_that_hangs_does_not_make_the_last_resort_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "get", lambda *_: asyncio.sleep(60, b""))
    cache, sorry = AnswerCache(lambda: CacheSettings(seconds=60)), LastResort("Sorry.").answer()
    due = loop_time() + 0.1

    assert await cache.instead("key", sorry, due) == sorry
    assert loop_time() < due


@pytest.mark.parametrize(("task", "is_kept"), [("text-generation", True), ("feature-extraction", False)])
async def test_no_answer_of_a_model_of_vectors_is_kept_whatever_its_caller_has_asked_for(
    task: str, *, is_kept: bool
) -> None:
    remotes = {"m": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "task": task}}
    router = await a_ready_router(remotes=remotes, cache={"seconds": 60})

    key, _ = router._answering._record(replace(a_request(), model="m"), "id", 0.0, None)
    await router._upstreams.aclose()

    assert bool(key) is is_kept


async def test_a_store_that_the_policy_names_no_longer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[AnswerStore] = []

    async def close(store: AnswerStore) -> None:
        closed.append(store)

    monkeypatch.setattr(MemoryStore, "aclose", close)
    stores = AnswerStores()
    first = stores.of(CacheSettings(entries=1))
    second = stores.of(CacheSettings(entries=2))
    await asyncio.sleep(0.01)

    assert closed == [first]
    await stores.aclose()
    assert closed == [first, second]


async def test_a_redis_that_is_gone_costs_no_answer_and_is_told_in_the_status(faulty: FaultyUpstream) -> None:
    async with one_model(faulty, store="redis://:secret@127.0.0.1:1/0") as router:
        kept = await ask(router)
        break_model(router, faulty)
        lost = await ask(router)
        status = router.describe()["cache"]

    assert answered(kept)[0] == TEXT
    assert lost.headers["x-neverblank-served-by"] == "last_resort"
    assert status["reachable"] is False
    assert status["reason"]
    assert "secret" not in str(status)


async def test_routers_share_what_a_real_redis_keeps_and_answer_on_while_it_is_gone(
    faulty: FaultyUpstream, redis: RedisServer
) -> None:
    async with one_model(faulty, store=redis.url) as router, one_model(faulty, store=redis.url) as other:
        await ask(router)
        async with asyncio.timeout(10):
            while not redis.names():  # noqa: ASYNC110 - it is written in the background
                await asyncio.sleep(0.02)
        break_model(other, faulty)
        earlier = await ask(other)
        redis.stop()
        gone = await ask(other)
        answering, told = await ask(router), other.describe()["cache"]
        redis.start()
        back = await ask(other)
        after = other.describe()["cache"]

    assert (answered(earlier)[0], earlier.headers["x-neverblank-served-by"]) == (TEXT, "cache")
    assert (gone.headers["x-neverblank-served-by"], answered(answering)[0]) == ("last_resort", TEXT)
    assert (told["reachable"], after["reachable"]) == (False, True)
    assert back.headers["x-neverblank-served-by"] == "last_resort"  # it is empty now
