"""Whatever stands where a schema should: it is a response format or a request's fault, and never an error of ours."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.execution.checked_json import MisfitError
from deployments.execution.schema_validator import find_violation
from deployments.execution.steps import QUICK_STEPS, TooManyStepsError, steps
from deployments.policy.problem import InvalidRequestError
from deployments.request import ResponseFormat
from deployments.request.response_format import read_response_format

KEYWORDS = (
    *("$ref", "$defs", "$id", "$schema", "$anchor", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "items"),
    *("prefixItems", "contains", "minContains", "properties", "patternProperties", "additionalProperties", "required"),
    *("propertyNames", "dependentSchemas", "dependentRequired", "dependencies", "definitions", "enum", "const", "type"),
    *("multipleOf", "maximum", "minLength", "maxItems", "uniqueItems", "pattern", "format", "default", "contentSchema"),
)
PLACES = ("", "/default", "/$defs/a", "/items", "/properties/a", "/allOf/0", "/enum/0", "/enum/-1", "/x/a", "/required")
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "string", "object", "(", "^a+$", "^(?=a)b$", "http://x/", "#a", "\x00"])
    | st.sampled_from([f"#{place}" for place in PLACES])
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYWORDS, "a", "x", ""]), inner, max_size=4)
        | st.fixed_dictionaries(
            {"$ref": st.sampled_from([f"#{place}" for place in PLACES])}, optional={"default": inner}
        )
    ),
    max_leaves=12,
)
ANSWERS: tuple[Any, ...] = (
    None,
    True,
    0,
    1.5,
    1e300,
    "a",
    [],
    ["a", "a"],
    {},
    {"a": {"a": [1]}},
    [[[[]]]],
    {"": {"x": 2}},
)
NO_SCHEMAS: tuple[Any, ...] = (
    {"allOf": 5},
    {"properties": 3},
    {"dependentSchemas": None},
    {"type": "nonsense"},
    5,
    None,
    [],
    "a",
)
NO_JSON: tuple[Any, ...] = (object(), {1: 2}, "\ud800", {"a", "b"}, 2**64, b"a")
SURELY_WRONG: tuple[Any, ...] = (
    *({"$ref": "#/default", "default": value} for value in NO_SCHEMAS),
    *({"const": value} for value in NO_JSON),
    {"enum": [[]], "$ref": "#/enum/0"},
)


def read(schema: Any) -> ResponseFormat:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    return read_response_format({"response_format": wanted})


@given(ANYTHING)
def test_any_json_as_a_schema_is_a_format_or_a_fault_and_a_format_can_be_checked(schema: Any) -> None:
    try:
        wanted = read(schema)
    except InvalidRequestError:
        return

    for answer in ANSWERS:
        steps.begin(QUICK_STEPS)
        with suppress(TooManyStepsError, MisfitError):
            assert isinstance(find_violation(answer, orjson.dumps(wanted.schema)), str)


@pytest.mark.parametrize("schema", SURELY_WRONG)
def test_what_is_no_schema_or_leads_to_none_is_refused_by_its_field(schema: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(schema)

    assert refused.value.problem.field == "response_format.json_schema.schema"
