"""What an answer must look like where its caller demands a form."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from deployments.execution.schema_validator import find_violation
from deployments.execution.steps import MAX_STEPS, TooManyStepsError, steps
from deployments.execution.structured_output import conform, conform_to
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Failed, Refused, TimedOut
from deployments.request import ResponseFormat

OBJECT = ResponseFormat(constraint={"type": "json_object"})
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def wanting(schema: Any) -> ResponseFormat:
    return ResponseFormat(constraint={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


def text(schema: Any, value: Any) -> str:
    steps.begin(MAX_STEPS)
    return find_violation(value, orjson.dumps(schema))


PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 18}, "name": {"type": "string"}},
    "required": ["age", "name"],
    "additionalProperties": False,
}


async def test_an_answer_is_left_alone_where_no_form_is_demanded() -> None:
    assert conform_to(ResponseFormat()) is None


@pytest.mark.parametrize("said", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```'])
async def test_json_is_an_object_with_or_without_a_fence(said: str) -> None:
    fitted = await conform(Answered(said), OBJECT)

    assert isinstance(fitted, Answered)
    assert orjson.loads(fitted.result) == {"a": 1}


async def test_further_choices_that_do_not_fit_are_left_out_and_counted() -> None:
    def choice(index: int, **message: Any) -> dict[str, Any]:
        return {"index": index, "message": {"content": None, **message}, "finish_reason": "stop"}

    said = [choice(1, content="Hello"), choice(2, content="```json\n{}\n```"), choice(3, content=" ")]
    said += [choice(4, tool_calls=[CALL]), choice(5, refusal="I can't.")]

    fitted = await conform(Answered("{}", extras=Extras(others=tuple(said)), dropped=("image", "n:1")), OBJECT)

    assert isinstance(fitted, Answered)
    assert fitted.extras.others == (
        choice(1, content="{}"),
        choice(2, **said[3]["message"]),
        choice(3, **said[4]["message"]),
    )
    assert fitted.dropped == ("image", "n:3")


@pytest.mark.parametrize("said", ["Hello", "[1]", "1", '{"a": ', "```json\n{```", "```python\n{}\n```"])
async def test_what_is_no_json_object_is_a_failed_attempt(said: str) -> None:
    assert isinstance(await conform(Answered(said), OBJECT), Failed)


async def test_an_answer_that_does_not_fit_its_schema_is_a_failed_attempt_that_names_the_place_and_no_content() -> None:
    fitted = await conform(Answered('{"age": 17, "name": "hunter2"}'), wanting(PERSON))

    assert fitted == Failed("its answer does not fit response_format: at $.age by minimum", misfit=True)


async def test_an_answer_that_was_cut_short_says_so() -> None:
    cut = await conform(Answered('{"age": 1', finish_reason="length"), OBJECT)

    assert isinstance(cut, Failed)
    assert "length" in cut.reason
    assert (cut.misfit, cut.cut) == (True, True)


async def test_a_form_that_its_deadline_cut_short_is_out_of_time_and_no_misfit() -> None:
    assert isinstance(await conform(Answered('{"age": 1', finish_reason="deadline"), OBJECT), TimedOut)


@pytest.mark.parametrize(("finish_reason", "is_cut"), [("length", True), ("stop", False)])
async def test_a_misfit_is_cut_where_max_tokens_ended_it_whatever_the_form(finish_reason: str, *, is_cut: bool) -> None:
    wants_call = ResponseFormat(tools=({"type": "function"},), tool_choice="required")

    for form in (OBJECT, wants_call):
        wrong = await conform(Answered("I think", finish_reason=finish_reason), form)
        assert isinstance(wrong, Failed)
        assert (wrong.misfit, wrong.cut) == (True, is_cut)


async def test_a_tool_call_and_what_a_filter_withheld_fit_any_form() -> None:
    for answered in (Answered("No.", finish_reason="content_filter"), Answered({"x": 1}, tool_calls=(CALL,))):
        assert await conform(answered, wanting(PERSON)) is answered


async def test_a_text_is_no_answer_where_a_tool_call_is_demanded() -> None:
    response_format = ResponseFormat(tools=({"type": "function"},), tool_choice="required")

    assert isinstance(await conform(Answered("Hello"), response_format), Failed)


async def test_a_check_that_takes_too_long_is_no_evidence_against_the_model() -> None:
    outcome = await conform(Answered(orjson.dumps(nested(30)).decode()), wanting(TWICE))

    assert isinstance(outcome, Refused)


# --- the validator ------------------------------------------------------------------------------------

TWICE: dict[str, Any] = {
    "anyOf": [{"type": "integer"}, *[{"type": "object", "properties": {"a": {"$ref": "#"}}}] * 2],
}


def nested(levels: int) -> Any:
    value: Any = "no integer"
    for _ in range(levels):
        value = {"a": value}
    return value


def test_a_schema_that_doubles_with_each_level_of_the_answer_is_given_up() -> None:
    assert text(TWICE, {"a": 1}) == ""
    with pytest.raises(TooManyStepsError):
        text(TWICE, nested(30))


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [("^a+$", "aaa", True), ("^a+$", "ab", False), ("^(a+)+$", "a" * 50_000 + "b", False), ("^(?=a)b$", "x", True)],
    ids=["fits", "does not", "catastrophic", "not in linear time"],
)
def test_a_pattern_is_matched_in_linear_time_or_not_at_all(pattern: str, value: str, *, fits: bool) -> None:
    assert (text({"pattern": pattern}, value) == "") is fits


def test_a_name_that_cannot_be_matched_in_linear_time_is_let_through() -> None:
    lookahead = {"patternProperties": {"^(?=a)b$": False}, "additionalProperties": False}

    assert text(lookahead, {"x": 1}) == ""


def test_names_that_match_a_pattern_are_no_additional_properties() -> None:
    schema = {"patternProperties": {"^x": {}}, "additionalProperties": False}

    assert text(schema, {"x1": 1}) == ""
    assert "additionalProperties" in text(schema, {"y": 1})


@pytest.mark.parametrize(
    ("items", "unique"), [([1, 1.0], False), ([1, True], True), ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False)]
)
def test_items_are_unique_by_what_they_mean(items: list[Any], *, unique: bool) -> None:
    assert (text({"uniqueItems": True}, items) == "") is unique


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "ab", "abc"])
    | st.sampled_from([0.5, 2.0]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=6,
)
LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "number", "minimum": 2}, {"type": "boolean"}, {"type": "null"},
     {"enum": ["a", 1]}, {"const": True}, {"type": "string", "maxLength": 2}, {"type": ["integer", "null"]}, True,
     False, {"pattern": "^a"}, {"uniqueItems": True}, {"minProperties": 1}, {"exclusiveMaximum": 1}, {"multipleOf": 2}]
)  # fmt: skip
NAMED = st.sampled_from("abc")
SCHEMAS = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(NAMED, children, max_size=3),
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), children, max_size=2),
                "additionalProperties": children,
                "required": st.lists(NAMED, max_size=2, unique=True),
                "items": children,
                "prefixItems": st.lists(children, min_size=1, max_size=2),
                "contains": children,
                "not": children,
                "anyOf": st.lists(children, min_size=1, max_size=2),
                "oneOf": st.lists(children, min_size=1, max_size=2),
                "allOf": st.lists(children, min_size=1, max_size=2),
                "if": children,
                "then": children,
                "else": children,
                "propertyNames": children,
                "dependentSchemas": st.dictionaries(NAMED, children, max_size=1),
            },
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), VALUES)
def test_it_says_what_the_library_says(schema: Any, value: Any) -> None:
    assert (text(schema, value) == "") is Draft202012Validator(schema).is_valid(value)
