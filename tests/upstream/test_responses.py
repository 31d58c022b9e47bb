"""OpenAI's Responses: what is sent to upstreams of that format, and what is made of their answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from deployments.policy.outcome import Answered, Finished, Usage
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.messages.events import MessageEvents
from deployments.upstream.responses.body import write_responses
from deployments.upstream.responses.events import ResponseEvents
from deployments.upstream.sse import Event
from deployments.upstream.stream import ChunkReader
from deployments.upstream.translation import Translator
from tests.fakes import read_stream, read_whole
from tests.upstream.calling import call, remote
from tests.upstream.dialects_of_responses import RESPONSE_DIALECTS, SEALED
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.test_dialects import made, streamed
from tests.upstream.test_messages_request import HI, LOOK, a_chat, a_request_behind, calling, result

SPEC = RemoteSpec(base_url="http://upstream.example/v1", model="m", api="responses")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def written(request: InferenceRequest) -> dict[str, Any]:
    return write_responses(request, SPEC, stream=False).body


@pytest.mark.parametrize("name", RESPONSE_DIALECTS)
async def test_a_streamed_response_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = RESPONSE_DIALECTS[name]

    text, end, extras = await streamed(faulty, name, api="responses")

    assert text == dialect.says
    if not isinstance(end, Finished):
        assert type(end).__name__ == dialect.ends, end
        return
    assert end.finish_reason == dialect.ends
    assert made(end.tool_calls) == list(dialect.calls)
    assert (extras.message, end.usage) == (dialect.beside, Usage(7, 17))


@pytest.mark.parametrize("name", RESPONSE_DIALECTS)
async def test_a_whole_response_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = RESPONSE_DIALECTS[name]

    outcome = await call(faulty, name, api="responses")

    if not isinstance(outcome, Answered):
        assert type(outcome).__name__ == dialect.ends, outcome
        return
    assert outcome.result == (dialect.says or {"tool_calls": list(outcome.tool_calls)})
    assert outcome.finish_reason == dialect.ends
    assert made(outcome.tool_calls) == list(dialect.calls)
    assert outcome.extras.message == dialect.beside


def test_a_chat_is_a_response_in_its_own_words() -> None:
    request = a_chat(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, PICTURE]},
        max_tokens=9,
        temperature=0.5,
        seed=1,
        tools=[LOOK],
        tool_choice={"type": "function", "function": {"name": "look"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        reasoning_effort="low",
    )

    sent = write_responses(request, SPEC, stream=True)

    assert (sent.path, sent.dropped) == ("responses", ("seed",))
    assert sent.body == {
        "model": "m",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                ],
            },
        ],
        "max_output_tokens": 9,
        "temperature": 0.5,
        "tools": [
            {
                "type": "function",
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object"},
                "strict": False,
            }
        ],
        "tool_choice": {"type": "function", "name": "look"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }


def test_calls_and_their_results_keep_their_ids_and_reasoning_goes_back_as_it_came() -> None:
    turn = calling("a", reasoning_items=[SEALED])

    _, reasoning, called, output = written(a_chat(HI, turn, result("a"), tools=[LOOK]))["input"]

    assert reasoning == SEALED
    assert called == {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"}
    assert output == {"type": "function_call_output", "call_id": "a", "output": "seen"}


def test_a_tool_that_takes_any_text_keeps_its_grammar_and_may_be_one_of_the_allowed_tools() -> None:
    grammar = {"syntax": "lark", "definition": "start: /x/"}
    query = {"type": "custom", "custom": {"name": "query", "format": {"type": "grammar", "grammar": grammar}}}
    named = [{"type": "custom", "custom": {"name": "query"}}, {"type": "function", "function": {"name": "look"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}

    body = written(a_chat(tools=[query, LOOK], tool_choice=allowed))

    assert body["tools"][0] == {"type": "custom", "name": "query", "format": {"type": "grammar", **grammar}}
    told = [{"type": "custom", "name": "query"}, {"type": "function", "name": "look"}]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": told}


def test_what_is_sent_is_what_openais_own_client_sends() -> None:
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": [PICTURE]}, calling("a"))
    body = written(a_chat(*turns, result("a"), tools=[LOOK], tool_choice="required", reasoning_effort="low"))

    TypeAdapter(ResponseCreateParamsNonStreaming).validate_python(body)


async def test_a_text_is_carried_on_behind_a_message_that_asks_to_go_on(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "healthy", api="responses") as upstream:
        *parts, end = await read_stream(upstream, a_request_behind("The quick brown fox"))

    assert isinstance(end, Finished)
    assert "The quick brown fox" + "".join(part for part in parts if isinstance(part, str)) == TEXT
    assert [item["role"] for item in faulty.requests[-1].body["input"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("scenario", "request_", "dropped", "asked"),
    [
        ("responses-no-sampling", a_chat(temperature=0.5), ("temperature",), 3),
        ("responses-no-encryption", a_chat(), (), 3),
        ("responses-no-effort", a_chat(reasoning_effort="low"), ("reasoning_effort",), 3),
        ("responses-other-account", a_chat(HI, calling("a", reasoning_items=[SEALED]), result("a")), (), 4),
    ],
)
async def test_what_a_model_of_this_format_does_not_take_is_left_out_at_once(
    faulty: FaultyUpstream, scenario: str, request_: InferenceRequest, dropped: tuple[str, ...], asked: int
) -> None:
    async with remote(faulty, scenario, api="responses") as upstream:
        outcomes = [await read_whole(upstream, request_) for _ in range(2)]

    for outcome in outcomes:
        assert isinstance(outcome, Answered), outcome
        assert (outcome.result, outcome.dropped) == (TEXT, dropped)
    assert len(faulty.requests) == asked


async def test_an_effort_that_a_model_does_not_have_costs_nobody_another_one(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "responses-no-such-effort", api="responses") as upstream:
        lost, kept = [await read_whole(upstream, a_chat(reasoning_effort=effort)) for effort in ("minimal", "low")]

    assert isinstance(lost, Answered), lost
    assert isinstance(kept, Answered), kept
    assert (lost.dropped, kept.dropped) == (("reasoning_effort",), ())
    assert faulty.requests[-1].body["reasoning"] == {"effort": "low"}


@pytest.mark.parametrize("translator", [ResponseEvents, MessageEvents])
def test_a_tool_that_a_provider_runs_is_a_sign_of_life_and_an_event_of_nothing_is_none(
    translator: Callable[[bool], Translator],
) -> None:
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s"}},
        {"type": "response.web_search_call.searching", "output_index": 0},
        {"type": "response.queued"},
    ]
    reader = ChunkReader(translator=translator(True))

    told = [reader.feed(Event(json.dumps(event), "")) for event in events]

    assert told.count([""]) == 1
    assert told[2] == []
