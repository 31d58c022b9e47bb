"""A request reaches a remote of its own format as it was sent, and what has no place in a chat comes back to it whole.

Asked with the official clients, which validate strictly, of real upstreams; what they say is in `tests/upstream`.
"""

from typing import Any

import pytest
from openai import AsyncOpenAI

from deployments.router.router import Router
from tests.http.responding import RESPONSES, built
from tests.http.test_anthropic_client import ASKED, anthropic_client_of
from tests.http.test_openai_client import client_of
from tests.http.wire import events, send
from tests.router.test_formats import router_of
from tests.upstream.dialect import BEGUN
from tests.upstream.dialects_of_messages import CITED_TEXT, FOUND, SEARCH, SIGNED
from tests.upstream.dialects_of_responses import CITED, CLICK, CODE, SEALED
from tests.upstream.dialects_of_responses import SEARCH as SEARCHED
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

OF_PROVIDER: list[dict[str, Any]] = [
    {"type": "web_search", "search_context_size": "low"},
    {"type": "mcp", "server_label": "a", "server_url": "https://mcp.example"},
]
ITEMS: list[dict[str, Any]] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "fox"}},
    {"type": "brand_new", "id": "bn_1", "mood": 5},
    {"type": "message", "role": "user", "content": "And now?", "mood": "good"},
]
OWN = "response-with-tools-of-its-own"


async def responded(router: Router, model: str, *, stream: bool, **body: Any) -> Any:
    client: AsyncOpenAI = client_of(router)  # type: ignore[arg-type]
    asked: Any = {"model": model, "input": "Hi", "tools": [{"type": "web_search"}], **body}
    if not stream:
        return await client.responses.create(**asked)
    told = [event async for event in await client.responses.create(**asked, stream=True)]
    return told[-1].response


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_asked_for_in_the_words_of_its_caller(faulty: FaultyUpstream, *, stream: bool) -> None:
    body: dict[str, Any] = {
        "input": ITEMS, "tools": OF_PROVIDER, "tool_choice": {"type": "web_search"}, "instructions": "Be brief.",
        "max_output_tokens": 9, "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "auto",
        "max_tool_calls": 3, "context_management": [{"type": "compaction"}], "metadata": {"a": "b"},
        "include": ["web_search_call.action.sources"], "mood": {"is": "good"},
    }  # fmt: skip
    ours = {"timeout": 20, "hedge": False, "store": True, "strict": True}
    async with router_of(faulty, ("healthy", "responses")) as router:
        response = await send(router, RESPONSES, {**body, **ours, "stream": stream, "model": "healthy-responses"})

    sent = dict(faulty.requests[-1].body)
    assert sent.pop("include") == ["web_search_call.action.sources", "reasoning.encrypted_content"]
    del body["include"]
    assert sent == {**body, "model": "healthy", "store": False, **({"stream": True} if stream else {})}
    told = events(response)[-1][1]["response"] if stream else response.json()
    assert "dropped" not in told["neverblank"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_provider_has_done_itself_comes_back_item_by_item(faulty: FaultyUpstream, *, stream: bool) -> None:
    name = OWN if stream else f"{OWN}-whole"
    async with router_of(faulty, (name, "responses")) as router:
        response = await responded(router, f"{name}-responses", stream=stream, reasoning={"summary": "auto"})
        again = [{"role": "user", "content": "Hi"}, *(item.to_dict() for item in response.output)]
        await responded(router, f"{name}-responses", stream=False, input=[*again, {"role": "user", "content": "Go on"}])

    key = response.id.removeprefix("resp_")
    thought, searched, said, ran, said_then = (item.to_dict() for item in response.output)
    assert thought == SEALED
    assert {**searched, "id": SEARCHED["id"]} == SEARCHED
    assert (said["content"][0]["text"], said["content"][0]["annotations"]) == (BEGUN, [CITED])
    assert {**ran, "id": CODE["id"]} == CODE
    assert (said_then["content"][0]["text"], said_then["content"][0]["annotations"]) == ("Yes.", [])
    assert all(key in item["id"] for item in (searched, said, ran, said_then)), "the ids lead to the response"
    assert faulty.requests[-1].body["input"][1:-1] == [item.to_dict() for item in response.output]
    assert "extras" not in response.neverblank


async def test_the_items_of_a_stream_are_one_behind_the_other(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, (OWN, "responses")) as router:
        body = {"model": f"{OWN}-responses", "input": "Hi", "stream": True, "reasoning": {"summary": "auto"}}
        read = events(await send(router, RESPONSES, body))

    kinds = ["reasoning", "web_search_call", "message", "code_interpreter_call", "message"]
    assert [item["type"] for item in built(read)] == kinds
    assert [data["sequence_number"] for _, data in read] == list(range(len(read)))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_item_that_the_caller_has_to_act_upon_is_an_answer_to_whoever_can(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    name = "response-of-a-click" if stream else "response-of-a-click-whole"
    tools = [{"type": "computer"}, {"type": "function", "name": "look"}]
    async with router_of(faulty, (name, "responses"), ("healthy", "chat")) as router:
        response = await responded(router, f"{name}-responses", stream=stream, tools=tools)
        of_a_chat = await send(
            router,
            "/v1/chat/completions",
            {"model": f"{name}-responses", "messages": [{"role": "user", "content": "Hi"}]},
        )

    (only,) = (item.to_dict() for item in response.output)
    assert {**only, "id": CLICK["id"]} == CLICK
    assert (response.status, response.neverblank["served_by"]) == ("completed", "primary")
    assert of_a_chat.json()["model"] == "healthy-chat"


@pytest.mark.parametrize("demanded", ["required", {"type": "web_search_preview"}])
async def test_a_tool_of_a_providers_is_listed_where_another_one_answers_and_refused_where_nobody_has_what_is_demanded(
    faulty: FaultyUpstream, demanded: Any
) -> None:
    tools = [{"type": "web_search_preview"}]
    async with router_of(faulty, ("status-500", "responses"), ("healthy", "chat")) as router:
        response = await responded(router, "status-500-responses", stream=False, tools=tools, tool_choice=demanded)
        body = {"model": "healthy-chat", "input": "Hi", "tools": tools, "tool_choice": demanded}
        refused = await send(router, RESPONSES, body)

    assert (response.output_text, response.model) == (TEXT, "healthy-chat")
    assert "web_search_preview" in response.neverblank["dropped"]
    assert "tools" not in faulty.requests[-1].body
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_blocks_of_a_message_come_back_as_they_were_written(faulty: FaultyUpstream, *, stream: bool) -> None:
    name = "message-behind-a-search" if stream else "message-behind-a-search-whole"
    tools: Any = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "mood": "good"}]
    async with router_of(faulty, (name, "messages")) as router:
        client = anthropic_client_of(router)
        body: Any = {**ASKED, "model": f"{name}-messages", "tools": tools}
        if stream:
            async with client.messages.stream(**body) as told:
                message = await told.get_final_message()
        else:
            message = await client.messages.create(**body)

    assert faulty.requests[-1].body["tools"] == tools
    assert [block.to_dict() for block in message.content] == [SIGNED, SEARCH, FOUND, CITED_TEXT]
    assert message.stop_reason == "pause_turn"


async def test_a_tool_of_anthropics_is_listed_where_a_model_of_another_format_answers(faulty: FaultyUpstream) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    async with router_of(faulty, ("healthy", "chat"), ("healthy", "responses")) as router:
        client = anthropic_client_of(router)
        for api in ("chat", "responses"):
            body: Any = {**ASKED, "model": f"healthy-{api}", "tools": tools, "tool_choice": {"type": "any"}}
            message: Any = await client.messages.create(**body)

            assert (message.content[0].text, message.neverblank["dropped"]) == (
                TEXT,
                ["web_search_20250305", "tool_choice"],
            )
            assert not {"tools", "tool_choice"} & faulty.requests[-1].body.keys()
