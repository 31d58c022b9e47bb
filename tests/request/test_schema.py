"""A caller's schema is held to bounds before anything is done with it."""

import sys
from types import FrameType
from typing import Any

import pytest

from deployments.policy.problem import InvalidRequestError
from deployments.request.response_format import read_response_format
from deployments.request.schema import (
    MAX_EXPANDED,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    MAX_SUBSCHEMAS,
    _fault,
    fault_of_schema,
)


def chained(levels: int, keyword: str, width: int = 2) -> dict[str, Any]:
    """References of which each level doubles what stands behind it."""
    definitions: dict[str, Any] = {
        f"l{level}": {keyword: [{"$ref": f"#/$defs/l{level + 1}"}] * width} for level in range(levels)
    }
    return {"$ref": "#/$defs/l0", "$defs": {**definitions, f"l{levels}": {"type": "integer"}}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def nest(inmost: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        inmost = {"x": inmost}
    return inmost


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "large": ({"enum": ["x" * MAX_SCHEMA_BYTES]}, "bytes"),
    "deep": (deep(MAX_SCHEMA_DEPTH + 1), "levels"),
    "doubling by anyOf": (chained(24, "anyOf"), "values"),
    "doubling by allOf": (chained(16, "allOf"), "values"),
    "a long chain": (chained(MAX_SCHEMA_DEPTH + 1, "allOf", width=1), "levels"),
    "itself": ({"anyOf": [{"$ref": "#"}]}, "without end"),
    "itself, all of it": ({"allOf": [{"$ref": "#"}]}, "without end"),
    "two that are each other": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        "without end",
    ),
    "a constant, again and again": (
        {"anyOf": [{"$ref": "#/$defs/c"}] * 500, "$defs": {"c": {"const": list(range(1000))}}},
        "values",
    ),
    "wide by prefixItems": ({"prefixItems": [{}] * 21_000}, "schemas within it"),
    "wide by true": ({"prefixItems": [True] * 12_000}, "schemas within it"),
    "wide by anyOf": ({"anyOf": [{}] * 9_900}, "schemas within it"),
    "wide by $defs": ({"$defs": {f"{n:x}": {} for n in range(6_000)}}, "schemas within it"),
    "wide elsewhere": (
        {"allOf": [{"$ref": f"#/x/{n:x}"} for n in range(1_200)], "x": {f"{n:x}": {} for n in range(1_200)}},
        "schemas within it",
    ),
    "elsewhere": ({"$ref": "http://example.com/s"}, "another document"),
    "nowhere": ({"$ref": "#/$defs/missing"}, "not there"),
    "an anchor": ({"$ref": "#name"}, "not there"),
    "dynamic": ({"$dynamicRef": "#x"}, "$dynamicRef"),
    "unevaluated": ({"unevaluatedProperties": False}, "unevaluatedProperties"),
    "what is no schema": ({"$ref": "#/default", "default": {"allOf": 5}}, "no JSON schema: #/default"),
    "a number": ({"$ref": "#/default", "default": 3}, "no JSON schema: #/default"),
    "a place by an encoded stroke": (
        {"$ref": "#/a%2Fb", "a/b": {}, "a": {"b": {"allOf": 5}}},
        "no JSON schema: #/a%2Fb",
    ),
    "a schema elsewhere that refers to what is none": (
        {"$ref": "#/default", "default": {"items": {"$ref": "#/enum/0"}}, "enum": [{"properties": 3}]},
        "no JSON schema: #/enum/0",
    ),
    "schemas elsewhere, one in the other": (
        {
            "allOf": [{"$ref": "#/default" + "/x" * level} for level in range(20, -1, -1)],
            "default": nest({"description": "d" * 8000}, 20),
        },
        "outside of its definitions",
    ),
    "a number of many digits": ({"$ref": "#/allOf/" + "9" * 5000, "allOf": [{}]}, "not there"),
    "dynamic, elsewhere": ({"$ref": "#/default", "default": {"$dynamicRef": "#"}}, "$dynamicRef"),
    "doubling, elsewhere": (
        {
            "$ref": "#/x/l0",
            "x": {f"l{n}": {"anyOf": [{"$ref": f"#/x/l{n + 1}"}] * 2} for n in range(24)} | {"l24": True},
        },
        "values",
    ),
    "no schema": ({"type": "thing"}, "no JSON schema"),
    "no schema, deep inside": ({"properties": {"a": {"items": {"minLength": -1}}}}, ".properties.a.items.minLength"),
}


@pytest.mark.parametrize(("schema", "named"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_schema_beyond_a_bound_is_refused_by_the_bound(schema: dict[str, Any], named: str) -> None:
    assert named in fault_of_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"allOf": {"type": "string"}, "$ref": {"type": "integer"}}},
        {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        {"$id": "https://example.com/p", "$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        {"properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": {"enum": [1, "x", None]}}},
        {"prefixItems": [{"type": "integer"}], "items": {"$ref": "#/prefixItems/0"}},
        {"minItems": 64, "items": {"minItems": 64, "items": {"minItems": 64, "type": "array"}}},
        {
            "$ref": "#/components/schemas/A",
            "components": {"schemas": {"A": {"items": {"$ref": "#/components/schemas/A"}}}},
        },
        chained(8, "anyOf"),
        {},
    ],
)
def test_a_schema_that_people_write_is_let_in(schema: dict[str, Any]) -> None:
    assert fault_of_schema(schema) == ""


MOST_INSIDE = MAX_SUBSCHEMAS - 1
WIDEST: dict[str, dict[str, Any]] = {
    "places": {"prefixItems": [{}] * MOST_INSIDE},
    "choices": {"anyOf": [{}] * MOST_INSIDE},
    "choices of each property": {
        "properties": {f"{n:x}": {"anyOf": [{}, {"maxLength": n}]} for n in range(MOST_INSIDE // 3)}
    },
    "definitions": {"$defs": {f"{n:x}": {"type": "string"} for n in range(MOST_INSIDE)}},
    "properties": {"properties": {f"{n:x}": {"type": "string"} for n in range(MOST_INSIDE)}},
    "properties of patterns": {"patternProperties": {f"{n:x}": {} for n in range(MOST_INSIDE)}},
    "references": {
        "$defs": {"a": {"type": "string"}} | {f"{n:x}": {"$ref": "#/$defs/a"} for n in range(1, MOST_INSIDE, 2)}
    },
    "references elsewhere": {
        "allOf": [{"$ref": f"#/x/{n:x}"} for n in range(MOST_INSIDE // 2)],
        "x": {f"{n:x}": {} for n in range(MOST_INSIDE // 2)},
    },
    "constants": {"enum": [[]] * (MAX_EXPANDED // 2 - 2)},
}
MOST_CALLS = 60 * MAX_SUBSCHEMAS  # for each: to look into it, to measure it, to follow its reference


def calls_to_read(schema: dict[str, Any]) -> tuple[int, str]:
    """The calls of functions, the interpreter's own among them, that it takes to read a new schema, and its fault."""
    calls = 0

    def count(_: FrameType | None, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    _fault.cache_clear()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        fault = fault_of_schema(schema)
    finally:
        sys.setprofile(before)
    return calls, fault


@pytest.mark.parametrize("schema", WIDEST.values(), ids=WIDEST.keys())
def test_the_widest_schemas_that_are_let_in_take_a_bounded_number_of_calls_to_read(schema: dict[str, Any]) -> None:
    calls, fault = calls_to_read(schema)

    assert fault == ""
    assert calls < MOST_CALLS


@pytest.mark.parametrize("schema", [schema for schema, _ in HOSTILE.values()], ids=HOSTILE.keys())
def test_schemas_that_are_refused_take_no_more_calls_than_the_widest(schema: dict[str, Any]) -> None:
    calls, fault = calls_to_read(schema)

    assert fault
    assert calls < MOST_CALLS


def test_the_bound_on_schemas_within_a_schema_is_named_to_its_sender() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"anyOf": [{}] * MAX_SUBSCHEMAS}}}

    with pytest.raises(InvalidRequestError) as refused:
        read_response_format({"response_format": form})

    assert refused.value.problem.field == "response_format.json_schema.schema"
    assert f"{MAX_SUBSCHEMAS} schemas within it" in refused.value.problem.accepted
