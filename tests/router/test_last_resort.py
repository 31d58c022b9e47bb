"""Whatever breaks in the router itself costs no answer: the last resort comes, in the form that was asked for."""

from typing import Any

import pytest

from deployments.observability import metrics
from deployments.router import answering
from deployments.router.router import Router
from deployments.router.routing import ChainBuilder
from tests.http.wire import CHAT, ENDPOINTS, send
from tests.http.wire import events as events_of
from tests.router.test_take_over import a_router

PARTS = {
    "no chain is built": (ChainBuilder, "chain", False),
    "no chain is built for a stream": (ChainBuilder, "chain", True),
    "no chain is run": (answering, "run_chain", False),
    "no stream is opened": (answering, "open_stream", True),
}
"""What breaks, and whether a stream is asked for."""
FORM = {"response_format": {"type": "json_object"}}
MESSAGE = "The last resort."


@pytest.fixture(params=PARTS)
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A part of the router raises; whether it is one that streams."""

    def breaks(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("a bug of ours")

    holder, name, streams = PARTS[request.param]
    monkeypatch.setattr(holder, name, breaks)
    return streams


async def a_ready_router(**policy: Any) -> Router:
    """A router that has looked at Serve before, where there is nothing but the backup."""
    router = a_router({"last_resort": {"message": MESSAGE}, **policy})
    await router._registry.refresh()
    return router


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_bug_of_the_routers_own_is_answered_by_the_last_resort(
    path: str, body: dict[str, Any], events: list[dict[str, Any]], *, stream: bool
) -> None:
    router = await a_ready_router()

    response = await send(router, path, body | {"stream": stream})

    assert (response.status_code, response.headers["x-neverblank-served-by"]) == (200, "last_resort")
    assert MESSAGE in response.text
    assert response.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert [(line["where"], line["reason"]) for line in events if line["level"] == "error"] == [
        ("router", "a bug of ours")
    ]
    assert (router.describe()["in_flight"], router.describe()["answers"]["last_resort"]) == (0, 1)


async def test_where_a_form_is_demanded_the_last_resort_behind_a_bug_is_a_refusal(*, stream: bool) -> None:
    response = await send(await a_ready_router(), "/v1/chat/completions", CHAT | FORM | {"stream": stream})

    if stream:
        deltas = [chunk["choices"][0]["delta"] for _, chunk in events_of(response)[:-1]]
        assert [delta["refusal"] for delta in deltas if delta.get("refusal")] == [MESSAGE]
        assert not any(delta.get("content") for delta in deltas)
    else:
        message = response.json()["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == (None, MESSAGE)


async def test_a_bug_is_answered_by_the_last_resort_through_a_handle_too(*, stream: bool) -> None:
    router = await a_ready_router()

    if stream:
        text, answer = [item async for item in router.infer_stream({"text": "Hi"})]
        assert text["text"] == MESSAGE
    else:
        answer = await router.infer({"text": "Hi"})

    assert (answer["served_by"], answer["result"]) == ("last_resort", MESSAGE)


async def test_a_router_at_its_limit_turns_requests_through_a_handle_away() -> None:
    router = await a_ready_router(admission={"max_in_flight": 1})

    with router.arrival():
        whole = await router.infer({"text": "Hi"})
        streamed = [item async for item in router.infer_stream({"text": "Hi"})]

    assert [answer["served_by"] for answer in (whole, *streamed)] == ["last_resort", "last_resort"]
    assert whole["result"] == MESSAGE
    assert router.describe()["turned_away"] == 2
    assert (await router.infer({"text": "Hi"}))["served_by"] == "backup"


async def test_a_bug_in_the_accounting_costs_nobody_an_answer(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    router = await a_ready_router()
    monkeypatch.setattr(metrics, "answered", breaks)

    whole = await send(router, "/v1/infer", {"text": "Hi"})
    streamed = await send(router, "/v1/chat/completions", CHAT | {"stream": True})

    assert whole.json()["served_by"] == "backup"
    assert events_of(streamed)[-1] == ("", "[DONE]")
    assert [line["where"] for line in events if line["level"] == "error"] == ["accounting", "accounting"]
    assert router.describe()["in_flight"] == 0
