"""Checks a caller's JSON schema against bounds before the schema is used.

The time to check an answer grows with the schema in three ways, and each has a bound here:

- its size and its depth;
- the values that are compared with one place of an answer. `allOf`, `anyOf`, `$ref` and the like can be nested so
  that a few hundred bytes stand for millions of comparisons. With references expanded, `MAX_EXPANDED` are allowed;
- a reference that leads back to itself without going deeper into the answer would never end, and is refused.

A reference leads to a schema and nothing else: what it names is held to all rules, wherever in the document it stands.

A schema that is recursive in the depth of the answer is accepted; `execution.schema_validator` bounds the check of the
answer.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

MAX_SCHEMA_BYTES = 64 << 10
MAX_SCHEMA_DEPTH = 64
"""The deepest nesting of a schema, and the longest path through its references and parts before it repeats."""

MAX_EXPANDED = 10_000
"""The most values in a schema that are compared with one place of an answer, with all references expanded."""

ACCEPTED = (
    f"a JSON schema (draft 2020-12) of at most {MAX_SCHEMA_BYTES} bytes, {MAX_SCHEMA_DEPTH} levels and "
    f"{MAX_EXPANDED} values once its references are expanded; references begin with #"
)

_DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_REFUSED = ("$dynamicRef", "$dynamicAnchor", "$anchor", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems")

# Keywords with schemas as their values: applied to the same place of the answer, or to places below it.
_SAME = ("not", "if", "then", "else")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_BELOW = ("items", "additionalProperties", "propertyNames", "contains")
_BELOW_LISTS = ("prefixItems",)
_BELOW_NAMED = ("properties", "patternProperties", "$defs", "definitions")


class _BoundError(Exception):
    """The schema breaks a bound; the text says which one."""


def fault_of_schema(schema: Mapping[str, Any]) -> str:
    """Return the fault of `schema`, worded to follow its field; empty where there is none. Takes milliseconds."""
    try:
        written = orjson.dumps(schema)
    except (TypeError, orjson.JSONEncodeError) as error:
        return f"cannot be written as JSON ({type(error).__name__})"
    if len(written) > MAX_SCHEMA_BYTES:
        return f"has {len(written)} bytes"
    return _fault(written)


@lru_cache(maxsize=128)
def _fault(written: bytes) -> str:
    """Return the fault of a schema. Cached: callers send the same schema again and again."""
    schema = orjson.loads(written)
    if fault := _fault_by_metaschema(schema):
        return fault
    try:
        _Bounds(schema).check()
    except _BoundError as error:
        return str(error)
    return ""


def _fault_by_metaschema(schema: Mapping[str, Any]) -> str:
    """Return where `schema` is no JSON schema; empty where it is one. The metaschema sees no keyword of its own."""
    try:
        jsonschema_rs.meta.validate({**schema, **_DRAFT})
    except jsonschema_rs.ValidationError as error:
        return f"is no JSON schema: see {_place(error.instance_path)}"
    except (ValueError, RecursionError) as error:
        return f"is no JSON schema ({type(error).__name__})"
    return ""


class _Bounds:
    """Walks a schema once; the expanded sizes of its parts are kept by the ids of the parts.

    A reference may lead to any place of the document, such as `#/components/schemas/Name`. What stands there is a
    schema from then on, though the metaschema has not seen it as one: it is held to the same rules when it is found.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._schemas: list[Mapping[str, Any]] = []
        self._ids: set[int] = set()
        self._elsewhere = 0
        self._expanded: dict[int, int] = {}
        self._under_way: set[int] = set()

    def check(self) -> None:
        """Check every schema in the document against the bounds.

        Raises:
            _BoundError: a schema breaks a bound.
        """
        self._enter(self._root)
        for schema in self._schemas:  # the list grows where a reference leads to a schema that is not in it
            self._expand(schema, 1)

    def _enter(self, root: Mapping[str, Any]) -> None:
        """Note `root` and the schemas in it. The metaschema has accepted `root`."""
        pending: list[tuple[Any, int]] = [(root, 1)]
        while pending:
            schema, depth = pending.pop()
            if depth > MAX_SCHEMA_DEPTH:
                raise _BoundError(f"has more than {MAX_SCHEMA_DEPTH} levels")
            if not isinstance(schema, Mapping) or id(schema) in self._ids:  # true and false are schemas, too
                continue
            for key in _REFUSED:
                if key in schema:
                    raise _BoundError(f"has {key}, which is not supported")
            if "$id" in schema and schema is not self._root:
                raise _BoundError("has $id below its root, which is not supported")
            self._ids.add(id(schema))
            self._schemas.append(schema)
            pending += [(below, depth + 1) for below in (*_below(schema), *_same(schema))]

    def _expand(self, schema: Any, depth: int) -> int:
        """Return the number of values that `schema` compares with one place of an answer."""
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
            parts.append(self._target(reference))
        total = _literals(schema) + sum(self._expand(part, depth + 1) for part in parts)
        if total > MAX_EXPANDED:
            raise _BoundError(f"has more than {MAX_EXPANDED} values once its references are expanded")
        self._under_way.discard(id(schema))
        self._expanded[id(schema)] = total
        return total

    def _target(self, reference: str) -> Any:
        """Return the schema that `reference` leads to; one that nobody has taken for a schema before is checked."""
        found = self._resolve(reference)
        if isinstance(found, bool) or id(found) in self._ids:
            return found
        if not isinstance(found, Mapping) or _fault_by_metaschema(found):
            raise _BoundError(f"refers to what is no JSON schema: {reference[:100]}")
        self._elsewhere += len(orjson.dumps(found))
        if self._elsewhere > MAX_SCHEMA_BYTES:  # one may stand in the other, so that all are more than the document
            raise _BoundError(f"refers to more than {MAX_SCHEMA_BYTES} bytes outside of its definitions")
        self._enter(found)
        return found

    def _resolve(self, reference: str) -> Any:
        """Return what stands at `reference`, by RFC 6901: percent signs are decoded before the pointer is split."""
        if not reference.startswith("#"):
            raise _BoundError("refers to another document")
        first, *parts = unquote(reference[1:]).split("/")
        found: Any = self._root
        for part in parts:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and _INDEX.fullmatch(part) and int(part) < len(found):
                found = found[int(part)]
            else:
                raise _BoundError(f"refers to what is not there: {reference[:100]}")
        if first:
            raise _BoundError(f"refers to what is not there: {reference[:100]}")
        return found


def _same(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Give the schemas in `schema` that are applied to the same place of an answer, references aside."""
    yield from (schema[key] for key in _SAME if key in schema)
    for key in _SAME_LISTS:
        yield from schema.get(key, ())
    yield from schema.get("dependentSchemas", {}).values()


def _below(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Give the schemas in `schema` that are applied to places below, and those that are only defined."""
    yield from (schema[key] for key in _BELOW if key in schema)
    for key in _BELOW_LISTS:
        yield from schema.get(key, ())
    for key in _BELOW_NAMED:
        yield from schema.get(key, {}).values()


def _literals(schema: Mapping[str, Any]) -> int:
    """Return the number of values of `schema` itself: its keywords, its properties, and the literals in it."""
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
