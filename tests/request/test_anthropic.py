"""The fields of Anthropic's Messages: what they become in the form that all formats share, and what is refused."""

import pickle
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.anthropic import messages_request
from deployments.request.body import Limits
from deployments.request.inference import AS_A_CHAT
from deployments.request.messages_fields import MESSAGES_UNSUPPORTED
from deployments.request.passing import MAX_FIELDS
from deployments.request.response_format import MAX_TOOLS

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
USER = {"role": "user", "content": "Hi"}
STORED = {"cache_control": {"type": "ephemeral"}}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"where": {"type": "string"}}}
LOOK: dict[str, Any] = {"name": "look", "description": "Looks.", "input_schema": SCHEMA, **STORED}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def read(headers: dict[str, str] | None = None, **body: Any) -> InferenceRequest:
    whole = {"model": "m", "max_tokens": 9, "messages": [USER], **body}
    return messages_request(orjson.dumps(whole), LIMITS, headers=headers or {})


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read(**body)
    return caught.value.problem


def features(request: InferenceRequest) -> list[tuple[str, str, bool]]:
    return [(feature.name, feature.field, feature.essential) for feature in request.features]


# --- tools and forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected", "one"),
    [
        (None, "", None),
        ({"type": "auto"}, "auto", None),
        ({"type": "any", "disable_parallel_tool_use": True}, "auto", False),
        ({"type": "none"}, "none", None),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}, None),
        ({"type": "tool", "name": "web_search"}, "auto", None),
    ],
)
def test_tools_and_their_choice_are_openais(choice: Any, expected: Any, *, one: bool | None) -> None:
    form = read(tools=[LOOK, SEARCH], tool_choice=choice).response_format

    function = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
    assert form.tools == ({"type": "function", "function": function}, SEARCH)
    assert (form.tool_choice, form.parallel_tool_calls) == (expected, one)


def test_a_tool_that_a_provider_runs_is_for_upstreams() -> None:
    kind, place = "web_search_20250305", "tools[1].type"
    demanded = {"type": "tool", "name": "web_search"}
    assert features(read(tools=[LOOK, SEARCH])) == [(kind, place, False)]
    assert features(read(tools=[LOOK, SEARCH], tool_choice=demanded)) == [(kind, place, True)]
    assert features(read(tools=[LOOK, SEARCH], tool_choice={"type": "none"})) == []


def test_what_nobody_can_be_asked_for_of_tools_and_of_thinking_is_listed_as_dropped() -> None:
    request = read(
        tools=[SEARCH | {"max_uses": 3}, LOOK | {"defer_loading": True, "input_examples": None}],
        thinking={"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        output_config={"effort": "low", "task_budget": {"type": "tokens"}},
    )

    foreign = {feature.name: feature.field for feature in request.features if feature.foreign}
    assert foreign == {
        "web_search_20250305": "tools[0].type",
        "thinking.display": "thinking.display",
        "output_config.task_budget": "output_config.task_budget",
        "defer_loading": "tools[1].defer_loading",
    }


def test_more_fields_of_tools_than_anybody_needs_are_refused() -> None:
    fields = {f"x{number}": 1 for number in range(MAX_FIELDS + 1)}

    assert refused(tools=[LOOK | fields]).field == f"tools[0].x{MAX_FIELDS}"


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_demanded_schema_is_the_one_that_answers_are_held_to(where: str) -> None:
    wanted = {"type": "json_schema", "schema": SCHEMA}
    asked: dict[str, Any] = {where: {"format": wanted} if where == "output_config" else wanted}

    form = read(**asked).response_format

    assert (form.demands_form, form.schema) == (True, SCHEMA)


# --- the other fields ---------------------------------------------------------------------------------


def test_every_parameter_is_read() -> None:
    request = read(
        max_tokens=5, temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["x"], seed=4, stream=True, timeout=5,
        metadata={"user_id": "u"}, service_tier="standard_only",
    )  # fmt: skip

    parameters = request.parameters
    assert (parameters.max_tokens, parameters.temperature, parameters.top_p) == (5, 0.5, 0.9)
    assert (parameters.top_k, parameters.stop, parameters.seed) == (3, ("x",), 4)
    assert (request.user, request.stream, request.timeout_s, request.model) == ("u", True, 5, "m")
    assert (request.passthrough, request.features) == ({"service_tier": "default"}, ())


def test_a_request_needs_no_longest_answer() -> None:
    assert read(max_tokens=None).parameters.max_tokens is None


@pytest.mark.parametrize(
    ("asked", "effort", "place"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", "thinking"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_000}}, "high", "thinking"),
        ({"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}, "max", "output_config.effort"),
    ],
)
def test_how_much_to_think_is_a_hint(asked: dict[str, Any], effort: str, place: str) -> None:
    request = read(**asked)

    assert request.passthrough == {"reasoning_effort": effort}
    assert features(request) == [("reasoning_effort", place, False)]


@pytest.mark.parametrize(
    "idle",
    [
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive"}},
        {"cache_control": {"type": "ephemeral"}},
        {"metadata": {"user_id": None}},
        {"tools": None, "tool_choice": None, "stop_sequences": None, "system": None},
    ],
)
def test_what_asks_for_nothing_is_left_out(idle: dict[str, Any]) -> None:
    request = read(**idle)

    assert (request.passthrough, request.features) == ({}, ())


@pytest.mark.parametrize("field", ["context_management", "speed"])
def test_what_no_model_can_be_asked_for_is_listed_whoever_answers(field: str) -> None:
    asked: dict[str, Any] = {field: {"edits": []}}

    request = read(**asked)

    assert request.passthrough == {}
    assert [(feature.name, feature.essential, feature.foreign) for feature in request.features] == [
        (field, False, True)
    ]


def test_a_field_of_a_block_that_has_no_place_elsewhere_is_listed() -> None:
    document = {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}

    assert features(read(messages=[{"role": "user", "content": [document]}])) == [
        ("citations", "messages[0].content[0].citations", False)
    ]


def test_an_unknown_field_is_treated_as_in_a_chat() -> None:
    request = read(mood=5)

    assert (request.passthrough, features(request)) == ({"mood": 5}, [("mood", "mood", True)])


def test_of_the_headers_of_anthropics_clients_only_what_is_opted_into_is_kept() -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x-2025", "x-api-key": "secret"}

    assert replace(read(headers), sent=AS_A_CHAT) == replace(read(), sent=AS_A_CHAT)
    assert (read(headers).sent.betas, "secret" in repr(read(headers))) == ("x-2025", False)


def test_a_request_arrives_in_another_process_as_it_was_read() -> None:
    request = read(tools=[LOOK], tool_choice={"type": "any"}, context_management={"edits": []})

    came = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own

    assert came == replace(request, sent=AS_A_CHAT), "a model of our own has no use for the words it was sent in"


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"stop_sequences": ["x"] * 65}, "stop_sequences"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"service_tier": 5}, "service_tier"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": {}}, "tools"),
        ({"tools": [LOOK] * (MAX_TOOLS + 1)}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [LOOK | {"type": 5}]}, "tools[0].type"),
        ({"tools": [LOOK | {"name": "x" * 129}]}, "tools[0].name"),
        ({"tools": [LOOK, LOOK]}, "tools[1].name"),
        ({"tools": [{"name": "look"}]}, "tools[0].input_schema"),
        ({"tools": [LOOK | {"input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice.name"),
        *(({field: 5}, field) for field in sorted(MESSAGES_UNSUPPORTED)),
    ],
)
def test_a_field_that_is_not_valid_is_refused_by_its_name(body: dict[str, Any], field: str) -> None:
    assert refused(**body).field == field


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        messages_request(b"[]", LIMITS)

    assert caught.value.problem.field == "body"
