"""What is not acted on here: it is kept for upstreams as it was sent, and what it asks of a model is told by name."""

import pickle
from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import Feature, InferenceRequest
from deployments.request.body import Limits
from deployments.request.openai import chat_request, completion_request
from deployments.request.passing import MAX_FIELDS, NEUTRAL

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
USER = {"role": "user", "content": "Hi"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SEEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}, "cache_control": {"type": "ephemeral"}}


def chat(**body: Any) -> InferenceRequest:
    return chat_request(orjson.dumps({"messages": [USER], **body}), LIMITS).requests[0]


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        chat(**body)
    return caught.value.problem


def features(request: InferenceRequest) -> list[tuple[str, str, bool]]:
    return [(feature.name, feature.field, feature.essential) for feature in request.features]


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("n", 3, "n"),
        ("logprobs", True, "logprobs"),
        ("prediction", {"type": "content", "content": "x"}, "prediction"),
        ("modalities", ["text", "audio"], "audio"),
        ("web_search_options", {}, "web_search_options"),
        ("functions", [], "functions"),
        ("mood", {"is": ["good"]}, "mood"),
        ("response_format", {"type": "grammar", "grammar": "x"}, "response_format"),
    ],
)
def test_a_field_that_is_not_acted_on_is_passed_on_and_asks_for_something(field: str, value: Any, name: str) -> None:
    request = chat(**{field: value})

    assert request.passthrough == {field: value}
    assert [(feature.name, feature.essential) for feature in request.features] == [(name, True)]
    assert request.features[0].field.startswith(field)


@pytest.mark.parametrize("field", sorted(NEUTRAL))
def test_a_field_that_changes_nothing_about_the_answer_is_passed_on_and_asks_for_nothing(field: str) -> None:
    request = chat(**{field: "x"})

    assert (request.passthrough, request.features) == ({field: "x"}, ())


def test_a_hint_is_passed_on_and_every_model_may_answer_without_it() -> None:
    request = chat(reasoning_effort="low")

    assert (request.passthrough, features(request)) == (
        {"reasoning_effort": "low"},
        [("reasoning_effort", "reasoning_effort", False)],
    )


def test_fields_that_ask_for_the_same_thing_are_listed_once() -> None:
    assert features(chat(logprobs=True, top_logprobs=3)) == [("logprobs", "logprobs", True)]


def test_controls_and_what_is_read_here_are_never_passed_on() -> None:
    request = chat(
        model="m", stream=True, stream_options={"include_usage": True}, timeout=5, tiers=["primary"], hedge=False,
        wait=False, strict=True, temperature=0, max_tokens=5, user="u", tools=[LOOK], tool_choice="auto", n=1,
    )  # fmt: skip

    assert request.passthrough == {}


def test_options_of_a_stream_that_are_not_known_here_are_passed_on() -> None:
    request = chat(stream=True, stream_options={"include_usage": True, "chunk_size": 4})

    assert request.passthrough == {"stream_options": {"chunk_size": 4}}
    assert features(request) == [("stream_options", "stream_options.chunk_size", True)]


def test_functions_are_for_every_language_model_and_other_tools_for_remote_ones() -> None:
    assert features(chat(tools=[LOOK])) == []
    assert features(chat(tools=[{"type": "web_search"}], tool_choice="none")) == []
    assert features(chat(tools=[LOOK, {"type": "web_search"}])) == [("tools", "tools[1].type", True)]


def test_a_choice_among_tools_of_other_types_is_kept_as_it_was_sent() -> None:
    choice = {"type": "custom", "custom": {"name": "sh"}}

    wanted = chat(tools=[{"type": "custom", "custom": {"name": "sh"}}], tool_choice=choice).response_format

    assert (wanted.tool_choice, wanted.demands_tool_call) == (choice, True)


@pytest.mark.parametrize(
    ("mode", "demanded"), [({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": []}}, mode == "required")
                           for mode in ("auto", "required")]
)  # fmt: skip
def test_allowed_tools_demand_a_call_only_where_they_say_so(mode: Any, demanded: bool) -> None:  # noqa: FBT001
    assert chat(tools=[LOOK], tool_choice=mode).response_format.demands_tool_call is demanded


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (SEEN, "image"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "f"}}, "file"),
        ({"type": "video_url", "video_url": {"url": "u"}}, "video"),
        ({"type": "smell", "smell": "rose"}, "smell"),
    ],
)
def test_a_part_that_is_no_text_is_passed_on_and_named_to_our_own_models(part: Any, name: str) -> None:
    sent = {"role": "user", "content": [{"type": "text", "text": "Look"}, part]}

    request = chat(messages=[sent])

    assert request.turns == (sent,)
    assert request.messages == ({"role": "user", "content": f"Look\n[{name}]"},)
    assert features(request) == [(name, "messages[0].content[1].type", True)]


def test_a_field_of_a_message_that_is_not_known_is_passed_on_and_asks_for_something() -> None:
    request = chat(messages=[USER | {"mood": "good", "cache_control": {"type": "ephemeral"}, "name": "me"}])

    assert request.turns[0]["mood"] == "good"
    assert features(request) == [("mood", "messages[0].mood", True)]


def test_what_came_with_an_answer_can_be_sent_back() -> None:
    call = {"id": "", "function": {"name": "look", "arguments": "{}"}, "extra_content": {"signature": "s"}}
    said = {"role": "assistant", "reasoning_content": "hm", "tool_calls": [call], "refusal": None, "audio": {"id": "a"}}

    request = chat(messages=[USER, said, {"role": "tool", "content": "a door"}])

    assert request.turns[1] == {"content": None, **{key: value for key, value in said.items() if value is not None}}
    assert [turn["content"] for turn in request.messages] == ["Hi", "Called look with {}", "Result of look: a door"]
    assert request.features == ()


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool", "function"])
def test_what_clients_keep_with_every_message_asks_for_nothing(role: str) -> None:
    kept = {"id": "m1", "reasoning_content": "hm", "provider_specific_fields": {"a": 1}, "refusal": "", "audio": {}}
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}

    said = {"role": role, "content": "x", "name": "look", "tool_call_id": "c", **kept}
    request = chat(messages=[USER, called, said, USER])

    assert (request.features, request.turns[2]) == ((), said)


@pytest.mark.parametrize("role", ["assistant", "tool", "function"])
def test_a_message_that_says_nothing_is_an_empty_one(role: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = {"role": role, "content": None, "tool_call_id": "c", "refusal": None, "tool_calls": None, "audio": None}

    request = chat(messages=[USER, {"role": "assistant", "tool_calls": [call]}, said, USER])

    assert request.turns[2] == {"role": role, "content": "", "tool_call_id": "c"}


def test_a_call_of_an_older_form_and_its_result_are_read() -> None:
    called = {"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}}

    request = chat(messages=[USER, called, {"role": "function", "name": "look", "content": "a door"}])

    assert [turn["content"] for turn in request.messages] == ["Hi", "Called look with {}", "Result of look: a door"]


@pytest.mark.parametrize("said", [{}, {"content": None}, {"content": ""}, {"content": "Well."}])
@pytest.mark.parametrize("kind", ["tool_calls", "function_call"])
def test_a_turn_with_calls_has_a_content_for_upstreams_that_demand_one(kind: str, said: dict[str, Any]) -> None:
    function = {"name": "look", "arguments": "{}"}
    calls = {"function_call": function} if kind == "function_call" else {kind: [{"id": "c", "function": function}]}

    request = chat(messages=[USER, {"role": "assistant", **said, **calls}, USER])

    assert request.turns[1] == {"role": "assistant", "content": said.get("content"), **calls}


def test_more_fields_than_anybody_needs_are_refused() -> None:
    assert chat(**{f"f{number}": 1 for number in range(MAX_FIELDS)})

    assert refused(**{f"f{number}": 1 for number in range(MAX_FIELDS + 1)}).field == "body"


def test_a_field_nested_too_deeply_is_refused() -> None:
    deep = b"[" * 101 + b"]" * 101
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        chat_request(b'{"messages": [{"role": "user", "content": "Hi"}], "deep": ' + deep + b"}", LIMITS)


def test_what_is_passed_on_arrives_in_another_process() -> None:
    request = chat(mood={"is": [1, 2.5, None, "good"]}, strict=True)

    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


def test_several_choices_of_one_prompt_are_asked_for_but_not_of_several_prompts() -> None:
    assert completion_request(orjson.dumps({"prompt": "a", "n": 2}), LIMITS).requests[0].passthrough == {"n": 2}

    with pytest.raises(InvalidRequestError) as caught:
        completion_request(orjson.dumps({"prompt": ["a", "b"], "n": 2}), LIMITS)

    assert caught.value.problem.field == "n"


def test_a_demand_says_where_it_stands() -> None:
    assert chat(messages=[USER, {"role": "user", "content": [SEEN, SEEN]}]).features == (
        Feature("image", "messages[1].content[0].type"),
    )
