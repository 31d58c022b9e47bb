"""A caller's schema is held to bounds before anything is done with it."""

import time
from typing import Any

import pytest

from deployments.request.schema import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, fault_of_schema


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


def test_no_schema_within_the_bounds_of_a_request_holds_the_event_loop_up() -> None:
    widest = {"properties": {f"p{n}": {"anyOf": [{"type": "string", "maxLength": n}, {}]} for n in range(1200)}}
    slowest = 0.0
    for schema in (widest, *(schema for schema, _ in HOSTILE.values())):
        started = time.process_time()
        fault_of_schema({**schema, "title": "new to the cache"})
        slowest = max(slowest, time.process_time() - started)

    assert slowest < 0.5  # of computing; a schema that doubles with each level would take hours
