"""The promise in OpenAI's Responses, as its own client sees it, before whole routers with real upstreams."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.http.responding import HI, LOOK, RESPONSES, built
from tests.http.test_openai_client import client_of
from tests.http.wire import events, send
from tests.router.test_faults import router_of
from tests.router.test_last_resort import MESSAGE
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

ALONE = {"x-neverblank-fallback": "false"}
FORCED: dict[str, Any] = {"tools": [LOOK], "tool_choice": "required"}
FORM: dict[str, Any] = {"text": {"format": {"type": "json_schema", "name": "f", "schema": {"type": "object"}}}}


@asynccontextmanager
async def asking(faulty: FaultyUpstream, *scenarios: str) -> AsyncIterator[Any]:
    """Asks the first of the scenarios, whose fallbacks are the others, and gives the response."""
    async with router_of(faulty, *scenarios) as router:
        client: AsyncOpenAI = client_of(router)  # type: ignore[arg-type]

        async def ask(*, stream: bool = False, headers: dict[str, str] | None = None, **body: Any) -> Any:
            asked: Any = {"model": scenarios[0], "input": "Hi", "extra_headers": headers or {}, **body}
            if not stream:
                return await client.responses.create(**asked)
            told = [event async for event in await client.responses.create(**asked, stream=True)]
            return told[-1].response

        yield ask


async def streamed(faulty: FaultyUpstream, *scenarios: str, headers: dict[str, str]) -> list[tuple[str, Any]]:
    async with router_of(faulty, *scenarios) as router:
        return events(await send(router, RESPONSES, HI | {"model": scenarios[0], "stream": True}, headers=headers))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failing", ["white-space", "null-content", "reasoning-only", "status-500", "closes"])
async def test_an_answer_that_is_none_is_a_failure_and_the_next_model_is_asked(
    faulty: FaultyUpstream, failing: str, *, stream: bool
) -> None:
    async with asking(faulty, failing, "healthy") as ask:
        response = await ask(stream=stream)

    assert (response.output_text, response.model, response.status) == (TEXT, "healthy", "completed")
    assert [item.type for item in response.output] == ["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_the_tool_that_was_demanded_is_a_failure(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    async with asking(faulty, "healthy", "calls-a-tool") as ask:
        response = await ask(stream=stream, **FORCED)

    (called,) = response.output
    assert (response.model, response.status, called.type) == ("calls-a-tool", "completed", "function_call")
    assert (called.name, json.loads(called.arguments)) == ("look", {"where": "here"})


@pytest.mark.parametrize("breaks", ["cut-after-3", "reset-after-3", "error-after-3"])
async def test_a_text_that_broke_off_goes_on_in_the_same_item(faulty: FaultyUpstream, breaks: str) -> None:
    read = await streamed(faulty, breaks, "healthy", headers={})

    (only,) = built(read)
    assert only["content"][0]["text"] == TEXT
    assert {data["output_index"] for _, data in read if "output_index" in data} == {0}
    end = read[-1][1]["response"]
    assert (read[-1][0], end["model"], end["neverblank"]["degraded"]) == ("response.completed", "healthy", True)


async def test_where_nobody_goes_on_the_last_resort_ends_the_item_and_the_response(faulty: FaultyUpstream) -> None:
    read = await streamed(faulty, "reset-after-3", headers=ALONE)

    (only,) = built(read)
    assert only["content"][0]["text"].endswith(f"\n\n{MESSAGE}")
    end = read[-1][1]["response"]
    assert (read[-1][0], only["status"], end["incomplete_details"]) == (
        "response.incomplete",
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert end["neverblank"]["served_by"] == "last_resort"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("demanded", [FORCED, FORM])
async def test_where_nobody_has_the_form_that_was_demanded_the_response_is_a_refusal(
    faulty: FaultyUpstream, demanded: dict[str, Any], *, stream: bool
) -> None:
    async with asking(faulty, "healthy") as ask:
        response = await ask(stream=stream, headers=ALONE, **demanded)

    (only,) = response.output
    assert [(part.type, part.refusal) for part in only.content] == [("refusal", MESSAGE)]
    assert (response.status, response.model) == ("completed", "last_resort")


async def test_an_upstream_is_asked_in_the_form_of_a_chat(faulty: FaultyUpstream) -> None:
    picture = {"type": "input_image", "image_url": "data:,"}
    body: dict[str, Any] = {
        "model": "healthy", "instructions": "Be brief.", "tools": [LOOK], "temperature": 0.5, "max_output_tokens": 9,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}, picture]}], "store": False,
        "reasoning": {"effort": "low", "summary": "auto"}, "parallel_tool_calls": False, "metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"], "stop": ["x"], "mood": 5,
    }  # fmt: skip
    async with router_of(faulty, "healthy") as router:
        response = await send(router, RESPONSES, body)

    shown = {"type": "image_url", "image_url": {"url": "data:,"}}
    assert response.json()["neverblank"]["degraded"] is False
    assert dict(faulty.requests[-1].body) == {
        "model": "healthy",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, shown]},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": ["x"],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "metadata": {"a": "b"},
        "store": False,
        "mood": 5,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_that_a_provider_would_run_is_listed_even_if_a_remote_model_answers(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    body = HI | {"model": "healthy", "tools": [{"type": "web_search"}], "stream": stream}
    async with router_of(faulty, "healthy") as router:
        response = await send(router, RESPONSES, body)
        strict = await send(router, RESPONSES, body | {"strict": True})

    told = events(response)[-1][1]["response"] if stream else response.json()
    assert (told["neverblank"]["dropped"], told["neverblank"]["degraded"]) == (["web_search"], True)
    assert "tools" not in faulty.requests[-1].body
    assert (strict.status_code, strict.json()["error"]["param"]) == (400, "tools[0].type")


async def test_reasoning_of_whoever_goes_on_does_not_split_the_text(faulty: FaultyUpstream) -> None:
    (only,) = built(await streamed(faulty, "cut-after-3", "reasons-first", headers={}))

    assert only["content"][0]["text"] == TEXT


async def test_reasoning_before_the_text_is_an_item_of_its_own(faulty: FaultyUpstream) -> None:
    thought, said = built(await streamed(faulty, "reasons-first", headers={}))

    assert thought["content"][0]["text"].strip()
    assert said["content"][0]["text"] == TEXT
