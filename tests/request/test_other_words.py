"""What providers take in words of their own is read as what it means in OpenAI's."""

from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.inference import FORM_DEMANDED
from deployments.request.openai import chat_request, completion_request

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"where": {"type": "string"}}}
TOGETHERS = {"type": "json_schema", "schema": SCHEMA}


def chat(**body: Any) -> InferenceRequest:
    return chat_request(orjson.dumps({"messages": [{"role": "user", "content": "Hi"}], **body}), LIMITS).requests[0]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_bound_of_minus_one_is_none(field: str) -> None:
    assert chat(**{field: -1}) == chat()
    assert completion_request(b'{"prompt": "Hi", "max_tokens": -1}', LIMITS).requests[0].parameters.max_tokens is None


@pytest.mark.parametrize(
    ("field", "value"), [("max_tokens", -2), ("max_tokens", -1.0), ("max_completion_tokens", 0), ("seed", -1)]
)
def test_other_numbers_out_of_bounds_are_refused_by_their_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        chat(**{field: value})

    assert refused.value.problem.field == field


def test_any_of_the_tools_is_required() -> None:
    request = chat(tools=[LOOK], tool_choice="any")

    assert request.response_format.tool_choice == "required"
    assert request.response_format.demands_form
    assert FORM_DEMANDED.search(b'{"tool_choice": "any"}')


def test_any_tool_without_tools_is_refused_as_required_is() -> None:
    with pytest.raises(InvalidRequestError, match="tool_choice"):
        chat(tool_choice="any")


def test_a_schema_beside_its_type_is_one_within_json_schema() -> None:
    wanted = chat(response_format=TOGETHERS).response_format

    assert wanted.constraint == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert wanted.schema == SCHEMA


@pytest.mark.parametrize("wanted", [{**TOGETHERS, "schema": {"type": "nothing"}}, {**TOGETHERS, "schema": "x"}])
def test_a_schema_beside_its_type_that_is_none_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        chat(response_format=wanted)

    assert refused.value.problem.field.startswith("response_format.")
