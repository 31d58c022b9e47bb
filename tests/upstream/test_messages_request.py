"""Requests to upstreams of Anthropic's Messages: what is sent, whatever the format was in which it was asked."""

from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter

from deployments.policy.outcome import Answered, Finished, Rejected
from deployments.request import InferenceRequest
from deployments.request.anthropic import messages_request
from deployments.request.body import Limits
from deployments.request.dialogue import UNSIGNED
from deployments.request.openai import chat_request
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.messages.body import write_messages
from tests.fakes import a_request
from tests.upstream.calling import call, stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.particular_messages import fault_of_form

LIMITS = Limits(timeout_s=30.0, max_bytes=1 << 20, max_timeout_s=60.0)
SPEC = RemoteSpec(base_url="http://upstream.example/v1", model="c", api="messages")
LOOK = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
HI = {"role": "user", "content": "Hi"}


def a_chat(*messages: Any, **more: Any) -> InferenceRequest:
    return chat_request(orjson.dumps({"messages": messages or (HI,), **more}), LIMITS).requests[0]


def a_message(*messages: Any, headers: Any = None, **more: Any) -> InferenceRequest:
    body = {"max_tokens": 64, "messages": messages or (HI,), **more}
    return messages_request(orjson.dumps(body), LIMITS, headers=headers or {})


def written(request: InferenceRequest) -> dict[str, Any]:
    return write_messages(request, SPEC, stream=False).body


def calling(*keys: str, **more: Any) -> dict[str, Any]:
    calls = [{"id": key, "type": "function", "function": {"name": "look", "arguments": "{}"}} for key in keys]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(key: str, text: str = "seen") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": key, "content": text}


def test_a_chat_is_a_message_in_anthropics_words() -> None:
    request = a_chat(
        {"role": "system", "content": "Be brief."},
        HI,
        max_tokens=9,
        temperature=0.5,
        stop=["\n"],
        user="somebody",
        tools=[LOOK],
        tool_choice="required",
        parallel_tool_calls=False,
        service_tier="default",
    )

    assert written(request) == {
        "model": "c",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 9,
        "temperature": 0.5,
        "stop_sequences": ["\n"],
        "metadata": {"user_id": "somebody"},
        "tools": [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "service_tier": "standard_only",
    }


def test_results_of_parallel_calls_are_one_message_and_stand_before_its_texts() -> None:
    messages = written(a_chat(HI, calling("a", "b"), result("a"), HI, result("b"), tools=[LOOK]))["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in messages[2]["content"][:2]] == ["a", "b"]


def test_a_system_turn_amid_a_conversation_keeps_its_place() -> None:
    body = written(a_chat(HI, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "In French."}))

    assert "system" not in body
    assert body["messages"][2]["content"] == [{"type": "text", "text": "<system>\nIn French.\n</system>"}]


def test_calls_that_were_made_before_have_a_tool_even_where_none_may_be_called() -> None:
    body = written(a_chat(HI, calling("a"), result("a")))

    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (["look"], {"type": "none"})


def test_reasoning_goes_back_as_it_was_signed_and_not_at_all_where_it_was_not() -> None:
    signed = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    redacted = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
    turn = calling("a", reasoning_content="Hm.", thinking_blocks=[signed, redacted, {**signed, "signature": UNSIGNED}])

    content = written(a_chat(HI, turn, result("a"), tools=[LOOK]))["messages"][1]["content"]

    assert content[:2] == [signed, redacted]
    assert [block["type"] for block in content[2:]] == ["tool_use"]


def test_pictures_documents_and_cache_hints_have_their_places() -> None:
    cache = {"type": "ephemeral"}
    parts = [
        {"type": "text", "text": "Look.", "cache_control": cache},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    ]

    blocks = written(a_chat({"role": "user", "content": parts}))["messages"][0]["content"]

    assert blocks == [
        {"type": "text", "text": "Look.", "cache_control": cache},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            "title": "a.pdf",
        },
    ]


def test_effort_is_adaptive_thinking_unless_a_call_is_forced() -> None:
    free = written(a_chat(reasoning_effort="minimal"))
    forced = written(a_chat(reasoning_effort="high", tools=[LOOK], tool_choice="required"))

    assert (free["thinking"], free["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    assert ("thinking" in forced, forced["output_config"]) == (False, {"effort": "high"})


def test_a_request_in_anthropics_words_is_sent_as_it_came() -> None:
    cache = {"type": "ephemeral"}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": cache}]},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Yes"}]},
        {"role": "user", "content": "Go on"},
    ]
    fields = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": cache}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": cache}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "context_management": {"edits": []},
        "metadata": {"user_id": "somebody"},
    }

    body = written(a_message(*messages, timeout=9, stop_sequences=["\n"], temperature=1, **fields))

    assert body == {**fields, "messages": messages, "model": "c", "max_tokens": 64, "stop_sequences": ["\n"]} | {
        "temperature": 1.0
    }


def test_blank_texts_and_reasoning_of_other_models_are_left_out_of_it() -> None:
    unsigned = {"type": "thinking", "thinking": "Hm.", "signature": UNSIGNED}
    turn = {"role": "assistant", "content": [unsigned, {"type": "text", "text": ""}, {"type": "text", "text": "Yes"}]}

    assert written(a_message(HI, turn, HI))["messages"][1]["content"] == [{"type": "text", "text": "Yes"}]


async def test_headers_name_the_version_the_key_and_what_was_opted_into(
    faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k")
    request = a_message(headers={"anthropic-beta": "context-1m"})

    await call(faulty, "healthy", request, api="messages", api_key_env="KEY", headers={"Anthropic-Beta": "own"})
    await call(faulty, "healthy", a_chat(), api="messages", headers={"anthropic-version": "2026-10-21"})

    first, second = faulty.requests[-2:]
    assert (first.target, first.headers["x-api-key"], "authorization" in first.headers) == ("/v1/messages", "k", False)
    assert (first.headers["anthropic-version"], first.headers["anthropic-beta"]) == ("2023-06-01", "own, context-1m")
    assert second.headers["anthropic-version"] == "2026-10-21"


async def test_what_has_no_place_is_dropped_and_listed(faulty: FaultyUpstream) -> None:
    request = a_chat(seed=1, temperature=1.5, logit_bias={"5": 1})

    outcome = await call(faulty, "messages-strict", request, api="messages")
    _, end = await stream(faulty, "messages-strict", request, api="messages")

    assert isinstance(outcome, Answered)
    assert isinstance(end, Finished)
    assert sorted(outcome.dropped) == sorted(end.dropped) == ["logit_bias", "seed", "temperature"]


async def test_a_strict_request_is_not_asked_without_what_has_no_place(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "healthy", a_chat(seed=1, strict=True), api="messages")

    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.elsewhere, faulty.requests) == ("seed", True, [])


async def test_a_text_goes_on_where_it_stops_though_its_last_space_is_not_sent(faulty: FaultyUpstream) -> None:
    said = "The quick brown "

    text, end = await stream(faulty, "messages-strict", a_request_behind(said), api="messages")

    assert isinstance(end, Finished)
    assert said + text == TEXT
    assert faulty.requests[-1].body["messages"][-1] == {"role": "assistant", "content": said.rstrip()}


def a_request_behind(prefix: str) -> InferenceRequest:
    return InferenceRequest({}, "Say it.", (), "", 30.0, prefix=prefix)


TYPES: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
"""What Anthropic's own client sends."""

TEXTS = st.sampled_from(["", " ", "Hello", "\n"])
TURNS = st.sampled_from(["system", "user", "assistant", "calls", "parts"])


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A chat as clients send it: calls with all their results, and whatever else in any order."""
    turns: list[dict[str, Any]] = []
    for number, kind in enumerate(draw(st.lists(TURNS, max_size=6))):
        text = draw(TEXTS)
        keys = [f"functions.look:{number}", f"call_{number}"][: draw(st.integers(1, 2))]
        match kind:
            case "calls":
                turns += [calling(*keys), *(result(key, text) for key in keys)]
            case "parts":
                turns.append(
                    {"role": "user", "content": [{"type": "text", "text": text}, {"type": "text", "text": "x"}]}
                )
            case role:
                turns.append({"role": role, "content": text})
    return [*turns, HI]


@settings(max_examples=200, deadline=None)
@given(conversations())
def test_every_chat_is_a_conversation_that_anthropic_takes(messages: list[dict[str, Any]]) -> None:
    body = written(a_chat(*messages))

    assert fault_of_form(body) == ""
    TYPES.validate_python(body)
    assert len(body["messages"]) == 1 or all(
        one["role"] != two["role"] for one, two in zip(body["messages"], body["messages"][1:], strict=False)
    )


async def test_a_raw_text_is_what_a_user_says(faulty: FaultyUpstream) -> None:
    await call(faulty, "healthy", a_request("Say it."), api="messages")

    assert faulty.requests[-1].body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say it."}]}]


def test_a_message_that_paused_goes_on_behind_what_the_providers_tools_have_found() -> None:
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    said = {"type": "text", "text": "I look. "}
    paused = {"role": "assistant", "content": [said, search, found]}
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    request = a_message(HI, paused, tools=tools)

    assert written(request)["messages"] == [HI, paused]

    on = replace(request, prefix=f"{request.prefix}It says ")
    told = {"type": "text", "text": "It says"}
    assert written(on)["messages"][-1]["content"] == [said, search, found, told]
    texts = a_message(HI, {"role": "assistant", "content": [said, {"type": "text", "text": "And "}]})
    assert written(texts)["messages"][-1] == {"role": "assistant", "content": "I look. \nAnd"}
