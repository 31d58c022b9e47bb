"""The promise in Anthropic's Messages format, as its own client sees it, before whole routers with real upstreams."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.http.test_anthropic_client import ASKED, anthropic_client_of
from tests.http.test_messages import FORCED, LOOK, PATH, blocks
from tests.http.wire import MESSAGES, events, send
from tests.router.test_faults import router_of
from tests.router.test_last_resort import MESSAGE
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

ALONE = {"x-neverblank-fallback": "false"}
FORM: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
_OF_THE_WIRE = ("message_", "content_block_")
"""How the names of the events begin that the client has not made itself."""


class Said:
    """A message, and the events that it came with.

    Attributes:
        message: as the client has assembled it.
        events: the events, where it was streamed.
    """

    def __init__(self, message: Any, read: Sequence[tuple[str, Any]]) -> None:
        self.message = message
        self.events = read

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.message.content if block.type == "text")


@asynccontextmanager
async def asking(faulty: FaultyUpstream, *scenarios: str, **policy: Any) -> AsyncIterator[Any]:
    """Asks the first of the scenarios, whose fallbacks are the others."""
    async with router_of(faulty, *scenarios, **policy) as router:

        async def ask(*, stream: bool = False, headers: dict[str, str] | None = None, **body: Any) -> Said:
            client = anthropic_client_of(router)
            body = {**ASKED, "model": scenarios[0], "extra_headers": headers or {}, **body}
            if not stream:
                return Said(await client.messages.create(**body), [])
            async with client.messages.stream(**body) as told:
                read = [(event.type, event.to_dict()) async for event in told if event.type.startswith(_OF_THE_WIRE)]
                return Said(await told.get_final_message(), read)

        yield ask


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failing", ["white-space", "null-content", "reasoning-only", "status-500", "closes"])
async def test_an_answer_that_is_none_is_a_failure_and_the_next_model_is_asked(
    faulty: FaultyUpstream, failing: str, *, stream: bool
) -> None:
    async with asking(faulty, failing, "healthy") as ask:
        said = await ask(stream=stream)

    assert (said.text, said.message.model, said.message.stop_reason) == (TEXT, "healthy", "end_turn")
    assert [block.type for block in said.message.content] == ["text"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_the_tool_that_was_demanded_is_a_failure(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    async with asking(faulty, "healthy", "calls-a-tool") as ask:
        said = await ask(stream=stream, **FORCED)

    (called,) = said.message.content
    assert (said.message.model, said.message.stop_reason) == ("calls-a-tool", "tool_use")
    assert (called.type, called.name, called.input) == ("tool_use", "look", {"where": "here"})


@pytest.mark.parametrize("breaks", ["cut-after-3", "reset-after-3", "error-after-3"])
async def test_a_text_that_broke_off_goes_on_in_the_same_block(faulty: FaultyUpstream, breaks: str) -> None:
    async with asking(faulty, breaks, "healthy") as ask:
        said = await ask(stream=True)

    assert said.text == TEXT
    assert [block.type for block in said.message.content] == ["text"]
    assert {event["index"] for name, event in said.events if name.startswith("content_block")} == {0}
    assert [name for name, _ in said.events if not name.endswith("_delta")] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_stop",
    ]
    told = said.events[-2][1]
    assert (told["neverblank"]["model"], told["delta"]["stop_reason"]) == ("healthy", "end_turn")


async def test_where_nobody_goes_on_the_last_resort_ends_the_block_and_the_message(faulty: FaultyUpstream) -> None:
    async with asking(faulty, "reset-after-3") as ask:
        said = await ask(stream=True, headers=ALONE)

    assert said.text.endswith(f"\n\n{MESSAGE}")
    assert len(said.message.content) == 1
    assert [name for name, _ in said.events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert said.message.stop_reason == "max_tokens"
    assert said.events[-2][1]["neverblank"]["served_by"] == "last_resort"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("demanded", [FORCED, FORM])
async def test_where_nobody_has_the_form_that_was_demanded_the_message_is_a_refusal(
    faulty: FaultyUpstream, demanded: dict[str, Any], *, stream: bool
) -> None:
    async with asking(faulty, "healthy") as ask:
        said = await ask(stream=stream, headers=ALONE, **demanded)

    assert (said.text, said.message.stop_reason, said.message.model) == (MESSAGE, "refusal", "last_resort")
    assert not any(block.type == "tool_use" for block in said.message.content)


async def test_an_upstream_is_asked_in_openais_format(faulty: FaultyUpstream) -> None:
    body: dict[str, Any] = MESSAGES | {
        "model": "healthy", "system": "Be brief.", "stop_sequences": ["x"], "tools": [LOOK], "temperature": 0.5,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "metadata": {"user_id": "u"},
        "thinking": {"type": "enabled", "budget_tokens": 2000}, "cache_control": {"type": "ephemeral"}, "timeout": 20,
    }  # fmt: skip
    headers = {"x-api-key": "secret", "anthropic-version": "2023-06-01", "anthropic-beta": "x"}
    async with router_of(faulty, "healthy") as router:
        response = await send(router, PATH, body, headers=headers)

    function = {"name": "look", "parameters": {"type": "object"}}
    assert response.json()["neverblank"]["degraded"] is False
    assert dict(faulty.requests[-1].body) == {
        "model": "healthy",
        "messages": [{"role": "system", "content": "Be brief."}, *MESSAGES["messages"]],
        "max_tokens": 64,
        "stop": ["x"],
        "temperature": 0.5,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "user": "u",
        "reasoning_effort": "low",
    }
    assert "secret" not in str(faulty.requests[-1].headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_no_model_can_be_asked_for_is_listed_even_if_a_remote_one_answers(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    body = MESSAGES | {"model": "healthy", "context_management": {"edits": []}, "stream": stream}
    async with router_of(faulty, "healthy") as router:
        response = await send(router, PATH, body)

    told = events(response)[-2][1] if stream else response.json()
    assert told["neverblank"]["dropped"] == ["context_management"]
    assert (told["neverblank"]["degraded"], "context_management" in faulty.requests[-1].body) == (True, False)


async def test_a_strict_request_for_it_is_refused_by_its_field(faulty: FaultyUpstream) -> None:
    body = MESSAGES | {"model": "healthy", "context_management": {"edits": []}, "strict": True}
    async with router_of(faulty, "healthy") as router:
        response = await send(router, PATH, body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, "context_management")


async def test_reasoning_of_whoever_goes_on_does_not_split_the_text(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, "cut-after-3", "reasons-first") as router:
        response = await send(router, PATH, MESSAGES | {"model": "cut-after-3", "stream": True})

    (only,) = blocks(events(response))
    assert "".join(delta["text"] for delta in only["deltas"]) == TEXT
