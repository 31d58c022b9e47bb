"""What only a remote model may be able to do: asked of one, listed where it was dropped, refused where nobody can.

The remote model is a real one: the fault-injecting upstream.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deployments.observability import log
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.settings.offer import Offer
from tests.http.wire import events, send
from tests.router.test_take_over import a_router
from tests.serving import SERVER, FakeCluster, Replica, application
from tests.upstream.faulty import FaultyUpstream

SEEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, SEEN]}]
HELLO = [{"role": "user", "content": "Hi"}]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PATH = "/v1/chat/completions"


@asynccontextmanager
async def asked(*scenarios: str) -> AsyncIterator[tuple[Router, FaultyUpstream]]:
    """A router with remote models that are called as their scenarios, each the fallback of the one before it."""
    faulty = FaultyUpstream()
    await faulty.start()
    base = {"base_url": f"http://127.0.0.1:{faulty.port}/v1"}
    remotes = {
        name: {**base, "model": name, "fallbacks": list(scenarios[place + 1 : place + 2])}
        for place, name in enumerate(scenarios)
    }
    router = a_router({"remotes": remotes})
    await router._registry.refresh()
    try:
        yield router, faulty
    finally:
        await router._upstreams.aclose()
        await faulty.stop()


async def test_a_remote_model_is_asked_everything_and_nothing_is_dropped() -> None:
    body = {
        "model": "healthy", "messages": PICTURE, "logprobs": True, "top_logprobs": 2, "n": 2, "top_k": 5,
        "store": True, "metadata": {"a": "b"}, "reasoning_effort": "low", "tools": [LOOK], "temperature": 0.5,
        "timeout": 20, "hedge": False, "strict": True, "mood": {"is": "good"},
    }  # fmt: skip
    async with asked("healthy") as (router, faulty):
        response = await send(router, PATH, body)

    sent = dict(faulty.requests[-1].body)
    ours = ("timeout", "hedge", "strict")
    assert sent == {key: value for key, value in body.items() if key not in ours}
    told = response.json()["neverblank"]
    assert (told["served_by"], told["degraded"], "dropped" in told) == ("primary", False, False)


async def test_the_beginning_of_an_answer_is_asked_for_with_all_fields_of_its_message() -> None:
    begun = {"role": "assistant", "content": "The quick", "prefix": True, "reasoning_content": "hm"}
    async with asked("healthy") as (router, faulty):
        await send(router, PATH, {"model": "healthy", "messages": [*HELLO, begun]})

    assert faulty.requests[-1].body["messages"][-1] == begun


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_backup_could_not_do_is_listed_and_the_answer_is_degraded(*, stream: bool) -> None:
    body = {"model": "status-500", "messages": PICTURE, "logprobs": True, "store": True, "stream": stream}
    async with asked("status-500") as (router, _):
        response = await send(router, PATH, body)

    told = events(response)[-2][1] if stream else response.json()
    assert (told["model"], told["neverblank"]["degraded"]) == ("backup", True)
    assert told["neverblank"]["dropped"] == ["image", "logprobs"]
    assert response.headers["x-neverblank-dropped"] == "image, logprobs"


@pytest.mark.parametrize("header", [True, False])
async def test_a_strict_request_is_not_asked_of_a_model_that_cannot_do_all_of_it(*, header: bool) -> None:
    strict: dict[str, Any] = {} if header else {"strict": True}
    headers = {"x-neverblank-strict": "true"} if header else {}
    async with asked("status-500", "healthy") as (router, _):
        backed = await send(router, PATH, {"model": "status-500", "messages": PICTURE, **strict}, headers=headers)
    async with asked("status-500") as (router, _):
        nobody = await send(router, PATH, {"model": "status-500", "messages": PICTURE, **strict}, headers=headers)

    assert backed.json()["model"] == "healthy"
    assert nobody.json()["neverblank"]["served_by"] == "last_resort"
    refused = nobody.json()["neverblank"]["attempts"][-1]
    assert (refused["model"], refused["outcome"]) == ("backup", "rejected")
    assert "image" in refused["reason"]


async def test_a_strict_request_that_asks_for_nothing_special_is_asked_of_anybody() -> None:
    async with asked("status-500") as (router, _):
        response = await send(router, PATH, {"model": "status-500", "messages": HELLO, "store": True, "strict": True})

    assert response.json()["model"] == "backup"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"mood": "good"}, "mood"),
        ({"messages": PICTURE}, "messages[0].content[1].type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("narrow", [{"model": "nobody"}, {"tiers": ["backup"]}])
async def test_what_no_candidate_could_do_is_refused_by_name(
    more: dict[str, Any], param: str, narrow: dict[str, Any], *, stream: bool
) -> None:
    async with asked("healthy") as (router, faulty):
        response = await send(router, PATH, {"messages": HELLO, "stream": stream, "model": "healthy", **more, **narrow})

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert faulty.requests == []
    assert router.describe()["in_flight"] == 0


@pytest.mark.parametrize("more", [{"verbosity": "low"}, {"reasoning_effort": "low"}])
async def test_what_every_model_may_answer_without_is_listed_where_it_was_dropped(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fallbacks: list[Any] = []
    monkeypatch.setattr(log, "fallback", lambda *told: fallbacks.append(told))
    async with asked() as (router, _):
        told = (await send(router, PATH, {"messages": HELLO, **more})).json()["neverblank"]

    assert (told["served_by"], told["degraded"], told["dropped"]) == ("backup", True, list(more))
    assert fallbacks == [], "nobody answered for anybody else"


async def test_a_model_whose_replica_runs_a_server_is_asked_everything() -> None:
    cluster = FakeCluster(a=application("a"))
    async with asked() as (router, _):
        router._registry._cluster, router._registry.backup.replicas = cluster, Replica()
        await router._registry.refresh()
        refused = await send(router, PATH, {"messages": PICTURE, "model": "a"})
        cluster.known["a"] = application("a", deployed_at=2.0, offer=SERVER)
        await router._registry.refresh()
        answered = await send(router, PATH, {"messages": PICTURE, "n": 2, "model": "a", "strict": True})

    assert refused.status_code == 400
    told = answered.json()["neverblank"]
    assert (told["served_by"], told["degraded"], "dropped" in told) == ("primary", False, False)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("offer", [SERVER, None])
async def test_a_request_for_a_server_that_loads_for_the_first_time_is_not_called_invalid(
    offer: Offer | None, *, seen: bool
) -> None:
    loading = application("a", running=0, starting=1, status="DEPLOYING", built=offer is not None, offer=offer)
    router = Router(FakeCluster(a=loading), Replica(), "backup", PolicySettings())
    if seen:
        await router._registry.refresh()
    response = await send(router, PATH, {"messages": PICTURE, "mood": "good", "model": "a", "wait": False})

    assert response.status_code == 200
    told = response.json()["neverblank"]
    assert (told["served_by"], told["dropped"]) == ("backup", ["image", "mood"])
    assert told["attempts"][0]["reason"].startswith("not ready: ")


async def test_functions_are_for_every_model_so_none_is_dropped() -> None:
    async with asked() as (router, _):
        told = (await send(router, PATH, {"messages": HELLO, "tools": [LOOK], "strict": True})).json()["neverblank"]

    assert (told["served_by"], told["degraded"], "dropped" in told) == ("backup", False, False)
