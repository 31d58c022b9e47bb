"""Every front speaks to every back: whatever format a request came in, and whatever its models speak."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deployments.router.router import Router
from tests.http.test_anthropic_client import ASKED, HELLO, anthropic_client_of
from tests.http.wire import CHAT, MESSAGES, send
from tests.router.test_last_resort import a_ready_router
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

NATIVE = {"text": "Say it."}
FRONTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "messages": ("/v1/messages", MESSAGES),
    "responses": ("/v1/responses", {"input": "Say it."}),
    "native": ("/v1/infer", NATIVE),
}
BACKS = ("chat", "responses", "messages")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@asynccontextmanager
async def router_of(faulty: FaultyUpstream, *models: tuple[str, str], **policy: Any) -> AsyncIterator[Router]:
    """A router whose models are scenarios, each in a format, with those behind it as its fallbacks."""
    names = [f"{scenario}-{api}" for scenario, api in models]
    url = f"http://127.0.0.1:{faulty.port}/v1"
    remotes = {
        name: {"base_url": url, "model": scenario, "api": api, "fallbacks": names[place + 1 :]}
        for place, (name, (scenario, api)) in enumerate(zip(names, models, strict=True))
    }
    router = await a_ready_router(remotes=remotes, default_model=names[0], **policy)
    yield router
    await router._upstreams.aclose()


async def ask(router: Router, front: str, model: str, *, stream: bool = False, **more: Any) -> Any:
    path, body = FRONTS[front]
    return await send(router, path, {**body, "model": model, "stream": stream, **more})


def said(response: Any) -> str:
    """The text of an answer, whole or streamed."""
    if response.headers["content-type"].startswith("application/json"):
        body = response.json()
        if "result" in body:
            return str(body["result"])
        if "output" in body:
            return str(body["output"][-1]["content"][-1]["text"])
        return str(body["choices"][0]["message"]["content"] if "choices" in body else body["content"][-1]["text"])
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return "".join(_text_of(event) for event in events)


def _text_of(event: str) -> str:
    match json.loads(event):
        case {"delta": {"type": "text_delta", "text": str(text)}} | {"choices": [{"delta": {"content": str(text)}}]}:
            return text
        case {"type": "response.output_text.delta", "delta": str(text)}:
            return text
        case {"type": str()}:
            return ""  # another event of a response, such as one that repeats the text
        case {"text": str(text)} | {"delta": str(text)}:
            return text
        case _:
            return ""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
async def test_every_front_is_answered_by_every_back(
    faulty: FaultyUpstream, front: str, back: str, *, stream: bool
) -> None:
    async with router_of(faulty, ("healthy", back)) as router:
        response = await ask(router, front, f"healthy-{back}", stream=stream)

    assert (response.status_code, said(response)) == (200, TEXT)
    assert response.headers["x-neverblank-degraded"] == "false"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("failing", ["reasoning-only", "status-529"])
async def test_what_is_no_answer_in_one_format_is_answered_by_a_model_of_the_other(
    faulty: FaultyUpstream, failing: str, front: str, back: str, *, stream: bool
) -> None:
    other = BACKS[BACKS.index(back) - 1]
    async with router_of(faulty, (failing, back), ("healthy", other)) as router:
        response = await ask(router, front, f"{failing}-{back}", stream=stream)

    assert said(response) == TEXT
    assert f"healthy-{other}=answer" in response.headers["x-neverblank-attempts"]


@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("breaks", ["cut-after-3", "error-after-3"])
async def test_a_text_that_breaks_off_in_one_format_is_carried_on_in_the_other(
    faulty: FaultyUpstream, breaks: str, front: str, back: str
) -> None:
    other = BACKS[BACKS.index(back) - 1]
    async with router_of(faulty, (breaks, back), ("healthy", other)) as router:
        response = await ask(router, front, f"{breaks}-{back}", stream=True)

    assert said(response) == TEXT
    assert faulty.counts["healthy"] == 1


async def test_what_only_anthropics_format_has_reaches_a_model_that_speaks_it_and_is_listed_by_others(
    faulty: FaultyUpstream,
) -> None:
    asked: dict[str, Any] = {"context_management": {"edits": []}}
    async with router_of(faulty, ("healthy", "messages")) as router:
        kept = await ask(router, "messages", "healthy-messages", **asked)
    async with router_of(faulty, ("healthy", "chat")) as router:
        lost = await ask(router, "messages", "healthy-chat", **asked)

    assert "dropped" not in kept.json()["neverblank"]
    assert lost.json()["neverblank"]["dropped"] == ["context_management"]
    assert ["context_management" in each.body for each in faulty.requests] == [True, False]


async def test_a_picture_in_a_chat_is_seen_and_choices_that_nobody_can_give_are_refused(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, ("healthy", "messages")) as router:
        seen = await ask(router, "chat", "healthy-messages", messages=[{"role": "user", "content": [PICTURE]}], seed=1)
        refused = await ask(router, "chat", "healthy-messages", logit_bias={}, n=2, tiers=["primary"])

    assert seen.json()["neverblank"]["dropped"] == ["seed"]
    assert faulty.requests[0].body["messages"][0]["content"][0]["type"] == "image"
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")


@pytest.mark.parametrize("stream", [False, True])
async def test_signed_reasoning_comes_to_the_caller_and_goes_back_unchanged(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    async with router_of(faulty, ("message-with-thoughts", "messages")) as router:
        client = anthropic_client_of(router)
        body = {**ASKED, "model": "message-with-thoughts-messages"}
        if stream:
            async with client.messages.stream(**body) as told:
                message = await told.get_final_message()
        else:
            message = await client.messages.create(**body)
        again = [*HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": "Go on"}]
        await client.messages.create(**{**body, "messages": again})

    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    assert message.content[0].to_dict() == thought
    assert faulty.requests[-1].body["messages"][1]["content"][0] == thought


async def test_a_call_in_anthropics_format_is_a_call_of_a_chat_with_the_same_id(faulty: FaultyUpstream) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    async with router_of(faulty, ("calls-a-tool", "messages")) as router:
        answer = await ask(router, "chat", "calls-a-tool-messages", tools=[tool])
        message = answer.json()["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "seen"}
        await ask(router, "chat", "calls-a-tool-messages", tools=[tool], messages=[*CHAT["messages"], message, result])

    _, called, seen = faulty.requests[-1].body["messages"]
    assert called["content"] == [{"type": "tool_use", "id": "call_1", "name": "look", "input": {"where": "here"}}]
    assert (seen["role"], seen["content"][0]["tool_use_id"]) == ("user", "call_1")
