"""The fields of OpenAI's Responses: what they become in the form that all formats share, and what is refused."""

from typing import Any

import pytest

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.inference import InferenceRequest
from deployments.request.openai_responses import responses_request
from deployments.request.response_format import MAX_TOOLS
from deployments.request.responses_fields import (
    LOGPROBS_INCLUDED,
    LONGEST_METADATA,
    MOST_METADATA,
    RESPONSES_UNSUPPORTED,
)

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"where": {"type": "string"}}}
LOOK: dict[str, Any] = {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA}
LOOK_OF_CHATS = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
WRITE = {"type": "custom", "name": "write", "format": {"type": "grammar", "syntax": "lark", "definition": "a: b"}}
SEARCH = {"type": "web_search", "search_context_size": "low"}
FORM = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}


def read(**body: Any) -> InferenceRequest:
    return responses_request({"model": "m", "input": "Hi", **body}, LIMITS).request


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read(**body)
    return caught.value.problem


def features(request: InferenceRequest) -> list[tuple[str, str, bool, bool]]:
    return [(each.name, each.field, each.essential, each.foreign) for each in request.features]


# --- parameters ---------------------------------------------------------------------------------------


def test_a_request_is_read_in_the_words_of_a_chat() -> None:
    request = read(
        instructions="Be brief.", max_output_tokens=9, temperature=0.5, user="u", stream=True, timeout=5,
        reasoning={"effort": "low", "summary": "auto"}, text={"verbosity": "high"}, metadata={"a": "b"},
        parallel_tool_calls=False, prompt_cache_key="k", include=["reasoning.encrypted_content"], truncation="disabled",
        background=False, stream_options={"include_obfuscation": False}, client_metadata={"a": "b"}, seed=3, mood=5,
    )  # fmt: skip

    assert request.turns == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    assert request.messages == request.turns
    assert (request.parameters.sent(), request.model, request.user) == (
        {"max_tokens": 9, "temperature": 0.5, "seed": 3},
        "m",
        "u",
    )
    assert (request.stream, request.timeout_s, request.response_format.parallel_tool_calls) == (True, 5.0, False)
    assert request.passthrough == {
        "reasoning_effort": "low",
        "verbosity": "high",
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "mood": 5,
    }
    assert features(request) == [
        ("mood", "mood", True, False),
        ("reasoning_effort", "reasoning.effort", False, False),
        ("verbosity", "text.verbosity", False, False),
    ]


@pytest.mark.parametrize(("store", "passed"), [(None, {}), (True, {}), (False, {"store": False})])
def test_a_provider_is_told_where_nothing_is_to_be_stored_and_stores_nothing_in_our_place(
    store: Any, passed: dict[str, Any]
) -> None:
    assert read(store=store).passthrough == passed


@pytest.mark.parametrize(
    ("asked", "fields", "place"),
    [
        ({"include": [LOGPROBS_INCLUDED], "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, "include"),
        ({"include": [LOGPROBS_INCLUDED]}, {"logprobs": True}, "include"),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
        ({"include": ["file_search_call.results"], "top_logprobs": 0}, {}, ""),
    ],
)
def test_log_probabilities_are_asked_for_as_in_a_chat(
    asked: dict[str, Any], fields: dict[str, Any], place: str
) -> None:
    request = read(**asked)

    assert request.passthrough == fields
    assert [feature.field for feature in request.features if feature.name == "logprobs"] == [place] * bool(place)


def test_what_no_chat_has_is_listed_whoever_answers() -> None:
    asked = {"truncation": "auto", "max_tool_calls": 3, "context_management": [{"type": "compaction"}]}

    assert features(read(**asked)) == [
        (name, name, False, True) for name in ("context_management", "max_tool_calls", "truncation")
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"background": True}, "background"),
        ({"truncation": "both"}, "truncation"),
        ({"include": "all"}, "include"),
        ({"include": ["x"] * 33}, "include"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"reasoning": "low"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"text": {"verbosity": []}}, "text.verbosity"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(number): "" for number in range(MOST_METADATA + 1)}}, "metadata"),
        ({"metadata": {"a": "x" * (LONGEST_METADATA + 1)}}, "metadata.a"),
        ({"store": "yes"}, "store"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream_options": True}, "stream_options"),
        *(({name: "x"}, name) for name in sorted(RESPONSES_UNSUPPORTED)),
    ],
)
def test_what_is_not_valid_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    assert refused(**body).field == field


# --- tools and forms ----------------------------------------------------------------------------------


def test_tools_are_those_of_a_chat() -> None:
    form = read(tools=[LOOK | {"strict": None}, WRITE]).response_format

    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "a: b"}}
    assert form.tools == (LOOK_OF_CHATS, {"type": "custom", "custom": {"name": "write", "format": grammar}})


def test_a_tool_that_a_provider_would_run_is_listed_by_its_type() -> None:
    request = read(tools=[LOOK, SEARCH])

    assert request.response_format.tools == (LOOK_OF_CHATS,)
    assert features(request) == [("web_search", "tools[1].type", False, True)]
    assert features(read(tools=[LOOK, SEARCH], tool_choice="none")) == []


def test_a_tool_of_a_providers_that_has_to_be_used_is_essential_unless_a_function_will_do() -> None:
    demanded = [("web_search", "tools[0].type", True, True)]
    any_of = [("web_search", "tools[0].type", False, True), ("tool_choice", "tool_choice", True, True)]
    assert features(read(tools=[SEARCH], tool_choice={"type": "web_search"})) == demanded
    assert features(read(tools=[SEARCH], tool_choice="required")) == any_of
    assert features(read(tools=[SEARCH, LOOK], tool_choice="required"))[1:] == [
        ("tool_choice", "tool_choice", False, True)
    ]
    assert read(tools=[SEARCH, LOOK], tool_choice="required").response_format.tool_choice == "auto"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ""),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ({"type": "custom", "name": "write"}, {"type": "custom", "custom": {"name": "write"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}, SEARCH]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}]},
            },
        ),
    ],
)
def test_a_choice_of_tools_is_that_of_a_chat(choice: Any, expected: Any) -> None:
    tools = [LOOK, WRITE] if choice == "required" else [LOOK, WRITE, SEARCH]
    assert read(tools=tools, tool_choice=choice).response_format.tool_choice == expected


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [LOOK] * (MAX_TOOLS + 1)}, "tools"),
        ({"tools": ["look"]}, "tools[0]"),
        ({"tools": [{"name": "look"}]}, "tools[0].type"),
        ({"tools": [LOOK, SEARCH, LOOK]}, "tools[2].name"),
        ({"tools": [LOOK | {"name": "look at"}]}, "tools[0].name"),
        ({"tools": [LOOK | {"parameters": {"type": "array"}}]}, "tools[0].parameters.type"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [SEARCH], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "go"}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "tools": [SEARCH]}}, "tool_choice.tools"),
        ({"tools": [LOOK], "tool_choice": 3}, "tool_choice"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": FORM | {"name": ""}}}, "text.format.name"),
        ({"text": {"format": FORM | {"schema": 3}}}, "text.format.schema"),
        ({"text": []}, "text"),
    ],
)
def test_a_tool_a_choice_or_a_form_that_is_none_is_refused_by_its_place(body: dict[str, Any], field: str) -> None:
    assert refused(**body).field == field


@pytest.mark.parametrize(
    ("wanted", "constraint"),
    [
        (None, {}),
        ({"type": "text"}, {}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (FORM, {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}),
    ],
)
def test_a_form_is_that_of_a_chat(wanted: Any, constraint: dict[str, Any]) -> None:
    assert read(text={"format": wanted}).response_format.constraint == constraint
