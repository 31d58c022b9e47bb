"""OpenAI's two formats: what is read, what is refused by name, and that nothing is dropped silently."""

import pickle
from typing import Any

import orjson
import pytest

from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.openai import chat_request, completion_request, repeated

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
USER = {"role": "user", "content": "Hi"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def chat(headers: dict[str, str] | None = None, **body: Any) -> InferenceRequest:
    return chat_request(orjson.dumps({"messages": [USER], **body}), LIMITS, headers=headers or {}).requests[0]


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        chat(**body)
    return caught.value.problem


def completions(**body: Any) -> tuple[InferenceRequest, ...]:
    return completion_request(orjson.dumps(body), LIMITS, headers={}).requests


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"maximum": 2**64 - 1}}}}}


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"response_format": {"type": "json_object"}, "user": "me", "stream": True},
        {"logit_bias": {"5": -100}, "seed": 3, "stop": ["x"], "max_tokens": 5, "temperature": 0},
    ],
)
def test_a_chat_arrives_in_another_process_as_it_was_sent(body: dict[str, Any]) -> None:
    request = chat(**body)

    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


# --- messages ---------------------------------------------------------------------------------------


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]

    assert chat(messages=[{"role": "user", "content": parts}]).messages == ({"role": "user", "content": "One\ntwo"},)


def test_a_developers_message_is_a_systems() -> None:
    assert chat(messages=[{"role": "developer", "content": "Be brief."}, USER]).messages[0]["role"] == "system"


def test_tools_and_their_results_are_told_in_words_and_kept_as_they_were_for_upstreams() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "a door"}

    request = chat(messages=[USER, called, result])

    assert [turn["content"] for turn in request.messages] == ["Hi", "Called look with {}", "Result of look: a door"]
    assert request.turns[1]["tool_calls"] == [CALL]
    assert request.turns[2] == result


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        (["Hi"], "messages[0]"),
        ([{"role": "robot", "content": "Hi"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": 5}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": " "}], "messages[0].content"),
        ([USER, {"role": "tool", "content": "x", "tool_call_id": "nobody"}], "messages[1].tool_call_id"),
        ([USER, {"role": "assistant", "tool_calls": [CALL]}], "messages[1].tool_calls"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "x"}]}], "messages[1].tool_calls[0]"),
        ([USER, {"role": "assistant", "content": None}], "messages[1].content"),
        ([USER, {"role": "assistant", "function_call": {"arguments": "{}"}}, USER], "messages[1].function_call"),
    ],
)
def test_a_message_that_is_none_is_refused_by_its_place(messages: Any, field: str) -> None:
    assert refused(messages=messages).field == field


# --- parameters -------------------------------------------------------------------------------------


def test_every_parameter_is_read() -> None:
    request = chat(
        model="m", max_completion_tokens=9, temperature=0, top_p=0.5, stop="\n", seed=3, presence_penalty=1,
        frequency_penalty=-1, logit_bias={"5": -100}, user="u", tools=[LOOK], tool_choice="required",
        parallel_tool_calls=False, stream=True, timeout=5, tiers=["primary"], hedge=False,
    )  # fmt: skip

    parameters = request.parameters
    assert (parameters.max_tokens, parameters.temperature, parameters.top_p, parameters.stop) == (9, 0, 0.5, ("\n",))
    assert (parameters.seed, parameters.presence_penalty, parameters.frequency_penalty) == (3, 1, -1)
    assert (dict(parameters.logit_bias), request.user, request.stream) == ({"5": -100.0}, "u", True)
    wanted = request.response_format
    assert (wanted.tools, wanted.tool_choice, wanted.parallel_tool_calls) == ((LOOK,), "required", False)
    assert (request.timeout_s, request.tiers, request.hedge) == (5.0, frozenset({Tier.PRIMARY}), False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0), ("n", 129), ("logprobs", "yes"), ("top_logprobs", 21), ("top_logprobs", 3), ("m" * 129, 1),
        ("temperature", 2.1), ("temperature", "hot"), ("top_p", 0), ("presence_penalty", 3), ("seed", 1.5),
        ("modalities", "audio"),
        ("stop", ["a"] * 65), ("stop", "a" * 257), ("top_k", -2), ("top_k", 1.5), ("min_p", 1.1), ("min_tokens", -1),
        ("repetition_penalty", 0), ("ignore_eos", 1), ("stop_token_ids", ["a"]), ("stop_token_ids", [-1]),
        ("logit_bias", {str(token): 1 for token in range(1025)}),
        ("stop", [""]), ("logit_bias", {"x": 1}), ("max_tokens", 0), ("user", 5),
        ("stream", "yes"), ("tool_choice", "required"), ("tools", [{"type": 5}]), ("n", True), ("prompt", "Hi"),
    ],
)  # fmt: skip
def test_a_value_that_a_field_does_not_take_is_refused_by_name(field: str, value: Any) -> None:
    assert refused(**{field: value}).field.startswith(field[:64])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1),
        ("n", None),
        ("logprobs", False),
        ("top_logprobs", 0),
        ("modalities", ["text"]),
        ("audio", None),
        ("mood", None),
    ],
)
def test_a_value_that_asks_for_nothing_is_accepted(field: str, value: Any) -> None:
    assert chat(**{field: value}) == chat()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": [LOOK, LOOK]}, "tools[1].function.name"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [TOOL]}}},
         "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]},
         "tools[0].function.parameters.type"),
        ({"tools": [LOOK], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)  # fmt: skip
def test_tools_that_no_model_could_call_as_they_are_are_refused_with_their_place(body: Any, field: str) -> None:
    assert refused(**body).field == field


def test_two_numbers_of_tokens_that_differ_are_refused() -> None:
    assert refused(max_tokens=5, max_completion_tokens=6).field == "max_completion_tokens"
    assert chat(max_tokens=5, max_completion_tokens=5).parameters.max_tokens == 5


def test_counts_are_included_where_they_are_asked_for_and_only_with_a_stream() -> None:
    body = {"messages": [USER], "stream": True, "stream_options": {"include_usage": True}}

    assert chat_request(orjson.dumps(body), LIMITS, headers={}).include_usage
    assert refused(stream_options={"include_usage": True}).field == "stream_options"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"type": 5}, "response_format.type"),
        ({}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "thing"}}},
         "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "http://example.com/s"}}},
         "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_refused_by_its_place(wanted: Any, field: str) -> None:
    assert refused(response_format=wanted).field == field


# --- controls in headers ------------------------------------------------------------------------------


def test_what_the_body_does_not_say_the_headers_may() -> None:
    headers = {
        "x-neverblank-timeout": "7",
        "x-neverblank-fallback": "false",
        "x-neverblank-tiers": "primary, backup",
        "x-neverblank-hedge": "false",
        "x-neverblank-strict": "true",
    }

    request = chat(headers)

    assert (request.timeout_s, request.fallback, request.hedge, request.strict) == (7.0, False, False, True)
    assert (chat().strict, chat(headers, strict=False).strict) == (False, False)
    assert chat(headers, timeout=3).timeout_s == 3.0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-neverblank-timeout": "soon"},
        {"x-neverblank-fallback": "maybe"},
        {"x-neverblank-tiers": "primary,moon"},
        {"x-neverblank-hedge": "0"},
    ],
)
def test_a_header_that_cannot_be_read_is_refused_by_its_name(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        chat(headers)

    assert caught.value.problem.field == next(iter(headers))


def test_two_deadlines_that_differ_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        chat({"x-neverblank-timeout": "5", "x-request-timeout-seconds": "6"})


def test_tiers_without_the_model_asked_for_contradict_no_fallback() -> None:
    assert refused(fallback=False, tiers=["backup"]).field == "fallback"


# --- completions --------------------------------------------------------------------------------------


def test_each_prompt_is_a_request() -> None:
    assert [request.text for request in completions(prompt=["a", "b"])] == ["a", "b"]
    assert [request.text for request in completions(prompt="a")] == ["a"]


@pytest.mark.parametrize(
    ("turns", "more", "expected"),
    [
        ([], {}, ""),
        ([{"role": "assistant", "content": "Well, "}], {}, "Well, "),
        ([{"role": "assistant", "content": "Well, "}], {"continue_final_message": True}, "Well, "),
    ],
)
def test_an_assistants_turn_at_the_end_of_a_chat_is_what_echo_repeats(turns: Any, more: Any, expected: str) -> None:
    body = {"messages": [USER, *turns], "echo": True, **more}

    asked = chat_request(orjson.dumps(body), LIMITS)

    assert (asked.echo, repeated(asked.requests[0])) == (True, expected)
    assert "echo" not in asked.requests[0].passthrough


@pytest.mark.parametrize("prompt", [None, "", " ", [], [-1], [[]], [1, "a"], [[1, True]], ["a", ""], ["a"] * 17, 5])
def test_a_prompt_that_is_none_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        completions(prompt=prompt)

    assert caught.value.problem.field.startswith("prompt")


@pytest.mark.parametrize(
    ("field", "value"),
    [("echo", 1), ("suffix", 1), ("best_of", 0), ("messages", []), ("logprobs", True), ("tools", [])],
)
def test_what_completions_do_not_support_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        completions(prompt="a", **{field: value})

    assert caught.value.problem.field == field
