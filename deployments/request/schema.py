"""A caller's JSON schema, held to bounds before anything is done with it.

What a check of an answer costs grows with the schema in three ways, and each has a bound here:

- its size and depth;
- what is applied to one place of an answer: `allOf`, `anyOf`, `$ref` and their like can be nested so that a few hundred
  bytes stand for millions of comparisons. All of it together, references expanded, has at most `MAX_EXPANDED` values;
- a reference that leads back to itself without going deeper into the answer never ends.

What is left, a schema that is recursive in the answer's depth, is bounded when an answer is checked
(`execution.schema_validator`).
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

MAX_SCHEMA_BYTES = 64 << 10
MAX_SCHEMA_DEPTH = 64
"""Levels of a schema, those behind its references included, until it comes back to where it was."""

MAX_EXPANDED = 10_000
"""Values in a schema that are compared with one place of an answer, with all references expanded."""

ACCEPTED = (
    f"a JSON schema (draft 2020-12) of at most {MAX_SCHEMA_BYTES} bytes, {MAX_SCHEMA_DEPTH} levels and "
    f"{MAX_EXPANDED} values once its references are expanded; references begin with #"
)

_DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_REFUSED = ("$dynamicRef", "$dynamicAnchor", "$anchor", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems")

# Where a schema has others: applied to the same place of the answer, or to places below it.
_SAME = ("not", "if", "then", "else")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_BELOW = ("items", "additionalProperties", "propertyNames", "contains")
_BELOW_LISTS = ("prefixItems",)
_BELOW_NAMED = ("properties", "patternProperties", "$defs", "definitions")


class _BoundError(Exception):
    """The schema is over a bound; the text says which, and where."""


def fault_of_schema(schema: Mapping[str, Any]) -> str:
    """What is wrong with `schema`; empty where nothing is. It takes milliseconds at the most."""
    written = orjson.dumps(schema)
    if len(written) > MAX_SCHEMA_BYTES:
        return f"has {len(written)} bytes"
    return _fault(written)


@lru_cache(maxsize=128)
def _fault(written: bytes) -> str:
    """Callers send the same schema again and again."""
    schema = orjson.loads(written)
    try:
        jsonschema_rs.meta.validate(schema | _DRAFT)
    except jsonschema_rs.ValidationError as error:
        return f"is no JSON schema: see {_place(error.instance_path)}"
    except (ValueError, RecursionError) as error:
        return f"is no JSON schema ({type(error).__name__})"
    try:
        _Bounds(schema).check()
    except _BoundError as error:
        return str(error)
    return ""


class _Bounds:
    """Walks a schema once; what its parts come to is kept by their identities."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._expanded: dict[int, int] = {}
        self._under_way: set[int] = set()

    def check(self) -> None:
        """Hold every schema in the document to the bounds.

        Raises:
            _BoundError: one of them is beyond one.
        """
        pending: list[tuple[Any, int]] = [(self._root, 1)]
        while pending:
            schema, depth = pending.pop()
            if depth > MAX_SCHEMA_DEPTH:
                raise _BoundError(f"has more than {MAX_SCHEMA_DEPTH} levels")
            if not isinstance(schema, Mapping):  # true and false are schemas, too
                continue
            for key in _REFUSED:
                if key in schema:
                    raise _BoundError(f"has {key}, which is not supported")
            if "$id" in schema and schema is not self._root:
                raise _BoundError("has $id below its root, which is not supported")
            self._expand(schema, 1)
            pending += [(below, depth + 1) for below in (*_below(schema), *_same(schema))]

    def _expand(self, schema: Any, depth: int) -> int:
        """How many values are compared with one place of an answer by `schema`."""
        if not isinstance(schema, Mapping):
            return 1
        if (known := self._expanded.get(id(schema))) is not None:
            return known
        if id(schema) in self._under_way:
            raise _BoundError("refers to itself without end")
        if depth > MAX_SCHEMA_DEPTH:
            raise _BoundError(f"has more than {MAX_SCHEMA_DEPTH} levels")
        self._under_way.add(id(schema))
        parts = [*_same(schema)]
        if isinstance(reference := schema.get("$ref"), str):
            parts.append(self._resolve(reference))
        total = _literals(schema) + sum(self._expand(part, depth + 1) for part in parts)
        if total > MAX_EXPANDED:
            raise _BoundError(f"has more than {MAX_EXPANDED} values once its references are expanded")
        self._under_way.discard(id(schema))
        self._expanded[id(schema)] = total
        return total

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise _BoundError("refers to another document")
        found: Any = self._root
        for part in reference[1:].split("/")[1:] if len(reference) > 1 else ():
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise _BoundError(f"refers to what is not there: {reference[:100]}")
        if len(reference) > 1 and not reference.startswith("#/"):
            raise _BoundError(f"refers to what is not there: {reference[:100]}")
        return found


def _same(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that are applied to the same place of an answer, references aside."""
    yield from (schema[key] for key in _SAME if key in schema)
    for key in _SAME_LISTS:
        yield from schema.get(key, ())
    yield from schema.get("dependentSchemas", {}).values()


def _below(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that are applied to places below, and those that are only defined."""
    yield from (schema[key] for key in _BELOW if key in schema)
    for key in _BELOW_LISTS:
        yield from schema.get(key, ())
    for key in _BELOW_NAMED:
        yield from schema.get(key, {}).values()


def _literals(schema: Mapping[str, Any]) -> int:
    """Values of `schema` itself: its keywords, and what stands in `enum`, `const` and `required`."""
    total, pending = len(schema), [schema[key] for key in ("enum", "const", "required") if key in schema]
    total += sum(len(schema[key]) for key in ("properties", "patternProperties") if key in schema)
    while pending and total <= MAX_EXPANDED:
        value = pending.pop()
        children = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        total += 1 + len(children)
        pending += children
    return total


def _place(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[:100] or "its root"
