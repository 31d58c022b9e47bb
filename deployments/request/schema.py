"""Checks a caller's JSON schema against bounds before the schema is used.

The check walks the schemas within a schema, and `MAX_SUBSCHEMAS` bounds how many those are. The time to check an answer
grows with the schema in three ways, and each has a bound here:

- its size and its depth;
- the values that are compared with one place of an answer. `allOf`, `anyOf`, `$ref` and the like can be nested so
  that a few hundred bytes stand for millions of comparisons. With references expanded, `MAX_EXPANDED` are allowed;
- a reference that leads back to itself without going deeper into the answer would never end, and is refused.

A reference leads to a schema and nothing else: what it names is held to all rules, wherever in the document it stands.

A schema that is recursive in the depth of the answer is accepted; `execution.schema_validator` bounds the check of the
answer.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

MAX_SCHEMA_BYTES = 64 << 10
MAX_SCHEMA_DEPTH = 64
"""The deepest nesting of a schema, and the longest path through its references and parts before it repeats."""

MAX_SUBSCHEMAS = 2_000
"""The most schemas within a schema, itself included: each of its properties has one, and each part of an `anyOf`.

Those that people write take about 30 bytes each, so that `MAX_SCHEMA_BYTES` is nearly always the closer bound.
"""

MAX_EXPANDED = 10_000
"""The most values in a schema that are compared with one place of an answer, with all references expanded."""

ACCEPTED = (
    f"a JSON schema (draft 2020-12) of at most {MAX_SCHEMA_BYTES} bytes, {MAX_SCHEMA_DEPTH} levels, "
    f"{MAX_SUBSCHEMAS} schemas within it and {MAX_EXPANDED} values once its references are expanded; references begin "
    "with #"
)

_DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_REFUSED = frozenset(
    ("$dynamicRef", "$dynamicAnchor", "$anchor", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems")
)

# Keywords with schemas as their values: applied to the same place of the answer, or to places below it or nowhere.
_SAME = frozenset(("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"))
_BELOW = frozenset(
    (
        *("items", "additionalProperties", "propertyNames", "contains", "prefixItems"),
        *("properties", "patternProperties", "$defs", "definitions"),
    )
)
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("dependentSchemas", "properties", "patternProperties", "$defs", "definitions"))
_WITH_SCHEMAS = _SAME | _BELOW
_WITH_VALUES = frozenset(("enum", "const", "required", "properties", "patternProperties"))


class _BoundError(Exception):
    """The schema breaks a bound; the text says which one."""


def fault_of_schema(schema: Mapping[str, Any]) -> str:
    """Return the fault of `schema`, worded to follow its field; empty where there is none.

    The widest that is let in takes some milliseconds: a few microseconds for each schema within it.
    """
    try:
        written = orjson.dumps(schema)
    except (TypeError, orjson.JSONEncodeError) as error:
        return f"cannot be written as JSON ({type(error).__name__})"
    return fault_of_written(written)


def fault_of_written(written: bytes) -> str:
    """Return the fault of a schema, given as JSON; see `fault_of_schema`."""
    return _fault(written) if len(written) <= MAX_SCHEMA_BYTES else f"has {len(written)} bytes"


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

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._schemas: list[dict[str, Any]] = []
        self._same: dict[int, list[Any]] = {}
        self._number = 0
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

    def _enter(self, root: dict[str, Any]) -> None:
        """Note `root` and the schemas in it. The metaschema has accepted `root`."""
        self._number += 1
        pending: list[tuple[Any, int]] = [(root, 1)]
        while pending:
            schema, depth = pending.pop()
            if depth > MAX_SCHEMA_DEPTH:
                raise _BoundError(f"has more than {MAX_SCHEMA_DEPTH} levels")
            if not isinstance(schema, dict) or id(schema) in self._same:  # true and false are schemas, too
                continue
            if not _REFUSED.isdisjoint(schema):
                key = next(key for key in schema if key in _REFUSED)
                raise _BoundError(f"has {key}, which is not supported")
            if "$id" in schema and schema is not self._root:
                raise _BoundError("has $id below its root, which is not supported")
            same, below = _parts(schema)
            self._number += len(same) + len(below)
            if self._number > MAX_SUBSCHEMAS:
                raise _BoundError(f"has more than {MAX_SUBSCHEMAS} schemas within it")
            self._same[id(schema)] = same
            self._schemas.append(schema)
            pending += [(part, depth + 1) for part in (*below, *same)]

    def _expand(self, schema: Any, depth: int) -> int:
        """Return the number of values that `schema` compares with one place of an answer."""
        if not isinstance(schema, dict):
            return 1
        if (known := self._expanded.get(id(schema))) is not None:
            return known
        if id(schema) in self._under_way:
            raise _BoundError("refers to itself without end")
        if depth > MAX_SCHEMA_DEPTH:
            raise _BoundError(f"has more than {MAX_SCHEMA_DEPTH} levels")
        self._under_way.add(id(schema))
        total = _literals(schema)
        for part in self._same[id(schema)]:
            total += self._expand(part, depth + 1)
        if isinstance(reference := schema.get("$ref"), str):
            total += self._expand(self._target(reference), depth + 1)
        if total > MAX_EXPANDED:
            raise _BoundError(f"has more than {MAX_EXPANDED} values once its references are expanded")
        self._under_way.discard(id(schema))
        self._expanded[id(schema)] = total
        return total

    def _target(self, reference: str) -> Any:
        """Return the schema that `reference` leads to; one that nobody has taken for a schema before is checked."""
        found = self._resolve(reference)
        if isinstance(found, bool) or id(found) in self._same:
            return found
        if not isinstance(found, dict) or _fault_by_metaschema(found):
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
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and _INDEX.fullmatch(part) and int(part) < len(found):
                found = found[int(part)]
            else:
                raise _BoundError(f"refers to what is not there: {reference[:100]}")
        if first:
            raise _BoundError(f"refers to what is not there: {reference[:100]}")
        return found


def _parts(schema: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the schemas right in `schema`, references aside.

    First those that are applied to the same place of an answer, then those for places below or that are only defined.
    """
    same: list[Any] = []
    below: list[Any] = []
    for key, value in schema.items():
        if key not in _WITH_SCHEMAS:
            continue
        parts = same if key in _SAME else below
        if key in _LISTS:
            parts += value
        elif key in _NAMED:
            parts += value.values()
        else:
            parts.append(value)
    return same, below


def _literals(schema: dict[str, Any]) -> int:
    """Return the number of values of `schema` itself: its keywords, its properties, and the literals in it."""
    total = len(schema)
    if _WITH_VALUES.isdisjoint(schema):
        return total
    pending = [schema[key] for key in ("enum", "const", "required") if key in schema]
    total += sum(len(schema[key]) for key in ("properties", "patternProperties") if key in schema)
    while pending and total <= MAX_EXPANDED:
        value = pending.pop()
        children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
        total += 1 + len(children)
        pending += children
    return total


def _place(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[:100] or "its root"
