"""What an answer must look like where its caller demands a form, and the last-resort message in that form."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from deployments.execution.structured_output import canned, conform
from deployments.policy.outcome import Answered, Failed
from deployments.request import ResponseFormat

MESSAGE = "I am sorry: none of our models can answer just now."
OBJECT = ResponseFormat(constraint={"type": "json_object"})
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def wanting(schema: Any) -> ResponseFormat:
    return ResponseFormat(constraint={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 18}, "name": {"type": "string"}},
    "required": ["age", "name"],
    "additionalProperties": False,
}


# --- a model's answer -------------------------------------------------------------------------------


def test_an_answer_is_left_alone_where_no_form_is_demanded() -> None:
    answered = Answered("Hello")

    assert conform(answered, ResponseFormat()) is answered


@pytest.mark.parametrize("text", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```'])
def test_json_is_an_object_with_or_without_a_fence(text: str) -> None:
    fitted = conform(Answered(text), OBJECT)

    assert isinstance(fitted, Answered)
    assert orjson.loads(fitted.result) == {"a": 1}


@pytest.mark.parametrize("text", ["Hello", "[1]", "1", '{"a": ', "```json\n{```", "```python\n{}\n```"])
def test_what_is_no_json_object_is_a_failed_attempt(text: str) -> None:
    assert isinstance(conform(Answered(text), OBJECT), Failed)


def test_an_answer_that_does_not_fit_its_schema_is_a_failed_attempt_that_names_the_place_and_no_content() -> None:
    fitted = conform(Answered('{"age": 17, "name": "hunter2"}'), wanting(PERSON))

    assert fitted == Failed("its answer does not fit response_format: at $.age by minimum")


def test_an_answer_that_was_cut_short_says_so() -> None:
    assert "length" in conform(Answered('{"age": 1', finish_reason="length"), OBJECT).reason


def test_a_tool_call_and_what_a_filter_withheld_fit_any_form() -> None:
    for answered in (Answered("No.", finish_reason="content_filter"), Answered({"x": 1}, tool_calls=(CALL,))):
        assert conform(answered, wanting(PERSON)) is answered


def test_a_text_is_no_answer_where_a_tool_call_is_demanded() -> None:
    response_format = ResponseFormat(tools=({"type": "function"},), tool_choice="required")

    assert isinstance(conform(Answered("Hello"), response_format), Failed)


def test_a_pattern_of_the_callers_is_never_run() -> None:
    catastrophic = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}

    assert isinstance(conform(Answered('{"a": "%s!"}' % ("a" * 5000)), wanting(catastrophic)), Answered)


# --- the last-resort message ------------------------------------------------------------------------


def test_a_message_is_itself_where_no_form_is_demanded() -> None:
    assert canned(MESSAGE, ResponseFormat()).text == MESSAGE


def test_a_message_is_an_object_where_any_object_is_demanded() -> None:
    assert orjson.loads(canned(MESSAGE, OBJECT).text) == {"message": MESSAGE}


NODE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: dict[str, Any] = {
    "a person": PERSON,
    "optional fields only": {"type": "object", "properties": {"note": {"type": "string"}}},
    "nothing but numbers": {
        "type": "object",
        "properties": {"n": {"type": "number"}},
        "required": ["n"],
        "additionalProperties": False,
    },
    "an enumeration": {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]},
    "a constant": {"type": "object", "properties": {"v": {"const": 3}}, "required": ["v"]},
    "a list of objects": {
        "type": "object",
        "properties": {"people": {"type": "array", "minItems": 2, "items": PERSON}},
        "required": ["people"],
    },
    "a nullable text": {"type": "object", "properties": {"t": {"type": ["string", "null"]}}, "required": ["t"]},
    "a choice": {"type": "object", "properties": {"x": {"anyOf": [{"type": "integer"}, PERSON]}}, "required": ["x"]},
    "all of several": {"allOf": [PERSON, {"type": "object"}]},
    "a reference": {
        "$defs": {"p": PERSON},
        "type": "object",
        "properties": {"p": {"$ref": "#/$defs/p"}},
        "required": ["p"],
    },
    "itself": NODE,
    "a date": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}, "required": ["d"]},
    "a short text": {"type": "object", "properties": {"t": {"type": "string", "maxLength": 5}}, "required": ["t"]},
    "a long text": {"type": "object", "properties": {"t": {"type": "string", "minLength": 200}}, "required": ["t"]},
    "multiples": {
        "type": "object",
        "properties": {"n": {"type": "integer", "multipleOf": 7, "minimum": 20}},
        "required": ["n"],
    },
    "excluded bounds": {
        "type": "object",
        "properties": {"n": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
        "required": ["n"],
    },
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_message_fits_the_schema_that_is_demanded(schema: dict[str, Any]) -> None:
    said = canned(MESSAGE, wanting(schema))

    Draft202012Validator(schema).validate(orjson.loads(said.text))
    assert said.valid


@pytest.mark.parametrize("name", ["a person", "optional fields only", "a nullable text", "a list of objects"])
def test_the_message_is_said_where_the_schema_has_a_text(name: str) -> None:
    assert MESSAGE in canned(MESSAGE, wanting(SCHEMAS[name])).text


def test_a_schema_that_nothing_fits_gets_an_attempt_that_does_not_claim_to_fit() -> None:
    said = canned(MESSAGE, wanting({"type": "object", "properties": {"a": False}, "required": ["a"]}))

    assert said.text
    assert not said.valid


LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "number", "minimum": 2}, {"type": "boolean"}, {"type": "null"},
     {"enum": ["a", 1]}, {"const": True}, {"type": "string", "maxLength": 3}, {"type": ["integer", "null"]}]
)  # fmt: skip


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """As OpenAI's structured outputs want them: every property is required, and there are no others."""

    def build(properties: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    return st.dictionaries(st.sampled_from("abcd"), children, max_size=3).map(build)


NESTED = st.recursive(
    LEAVES,
    lambda children: (
        objects(children)
        | children.map(lambda items: {"type": "array", "items": items})
        | st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    ),
    max_leaves=8,
)


@given(objects(NESTED))
def test_any_schema_of_structured_outputs_gets_a_message_that_fits(schema: dict[str, Any]) -> None:
    said = canned(MESSAGE, wanting(schema))

    Draft202012Validator(schema).validate(orjson.loads(said.text))
    assert said.valid
