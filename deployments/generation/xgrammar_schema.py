"""JSON Schemas as OpenVINO's grammar compiler (xgrammar) gets them: only what it takes, and takes quickly.

OpenVINO compiles a grammar within a step of the batch. Everybody in the batch waits for that, and an error that it
raises there ends them all. So no schema of a caller gets there as it stands. It is written anew:

    kept      types, properties, items, enum, const, anyOf, references, ranges, short lengths, simple patterns
    left out  what takes seconds to compile, such as `maxLength: 100` (7 s), and what xgrammar does not know. A text is
              then held to less than the schema, and is judged by all of it once it is written
    refused   a schema that no text fits, that is too large or too deep, or that leads nowhere

Optional properties and further items are left to the model as far as the schema names them: a narrower form fits, too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.generation.grammar import GrammarError
from deployments.generation.schema_ends import DEFINITIONS, comes_to_an_end
from deployments.generation.schema_numbers import BOUNDS, count_of, write_number

MAX_BYTES = 12_000
"""The largest schema once it is written anew. One of 10 kB takes 0.7 s of a step (a vocabulary of 49,152 tokens)."""

MAX_LEVELS = 32
_MOST_OPTIONAL = 40  # 150 take 1.7 s, as every one of them may follow every other
_MOST_ITEMS = 100
_MOST_VALUES = 64  # of all enumerations: in an array, 128 take 1.7 s, 256 take 4 s, 890 took 15 s
_MOST_PARTS = 64  # of an `allOf`, with those in it
_LENGTHS = 16  # characters of `minLength` and `maxLength` in one schema: 10 take 0.3 s, 30 take 1.6 s
_LONGEST_LENGTH = 8
_MOST_REPEATS = 100  # of a character of a pattern
_FORMATS = frozenset({"date", "time", "date-time", "uuid", "ipv4"})
_SIMPLE_PATTERN = re.compile(
    r"\^(?:(?:[A-Za-z0-9 _@:/,#=%&~-]|\\[dw./-]|\[(?:[A-Za-z0-9_ ]|(?:a-z|A-Z|0-9))+\])(?:[+*?]|\{\d{1,3}\})?)+\$"
)
_UNWRITABLE = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')
"""In the name of a property: xgrammar does not escape it, and then cannot read its own grammar."""

_TYPE_OF = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array"}
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": (*BOUNDS, "multipleOf"),
}

_Written = dict[str, Any] | None
"""A schema that is written anew; `None` where no value fits it."""


def write_schema(text: str) -> dict[str, Any]:
    """Write the schema `text`, which is JSON, anew.

    Raises:
        GrammarError: the schema cannot be used; the message names what cannot.
    """
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"the schema is no JSON: {type(error).__name__}") from error
    try:
        return _Writer(root).write()
    except (AttributeError, KeyError, TypeError) as error:  # a keyword has a value of another type than it must have
        raise GrammarError(f"the schema is no JSON Schema: {error!s:.200}") from error


class _Writer:
    """Writes a schema anew. What references lead to is written once, under a name of its own."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self._pending: list[str] = []
        self._lengths = _LENGTHS
        self._level = 0
        self._values = 0
        self._values = 0

    def write(self) -> dict[str, Any]:
        written = self._schema(self._root)
        if written is None:
            raise GrammarError("no text fits the schema")
        definitions: dict[str, Any] = {}
        while self._pending:
            pointer = self._pending.pop()
            definition = self._schema(self._target(pointer))
            if definition is None:
                raise GrammarError(f"no text fits what {pointer:.100} leads to")
            definitions[self._names[pointer]] = definition
        whole = {**written, "$defs": definitions} if definitions else written
        if (size := len(json.dumps(whole))) > MAX_BYTES:
            raise GrammarError(f"the schema is too large for the engine: {size} bytes; accepted: {MAX_BYTES}")
        if not comes_to_an_end(written, definitions):
            raise GrammarError("no text fits the schema: it leads back to itself without end")
        return whole

    def _schema(self, schema: Any) -> _Written:
        self._values += 1
        if self._level > MAX_LEVELS or self._values > MAX_BYTES:
            raise GrammarError(f"the schema is too large for the engine: accepted: {MAX_LEVELS} levels")
        if isinstance(schema, bool):
            return {} if schema else None
        if not isinstance(schema, Mapping):
            raise GrammarError(f"the schema has {type(schema).__name__} where a schema belongs")
        self._level += 1
        try:
            return self._mapping(schema)
        finally:
            self._level -= 1

    def _mapping(self, schema: Mapping[str, Any]) -> _Written:
        if "$ref" in schema:
            return {"$ref": DEFINITIONS + self._name(schema["$ref"])}
        if "const" in schema:
            return {"const": schema["const"]}
        if "enum" in schema:
            return self._enum(list(schema["enum"]))
        if schema.get("allOf"):
            return self._schema(self._merged(schema))
        options = schema.get("anyOf", schema.get("oneOf"))
        if options is not None and "properties" not in schema and "items" not in schema:
            return _any_of([self._schema(option) for option in options])
        types = _types(schema)
        return _any_of([self._of_type(sort, schema) for sort in types]) if types else {}

    def _enum(self, values: list[Any]) -> _Written:
        """One of `values`; any value of their types once there are too many, as the answer is checked all the same."""
        self._values += len(values)
        if not values or self._values <= _MOST_VALUES:
            return {"enum": values} if values else None
        kinds = dict.fromkeys(_TYPE_OF.get(type(value), "object") for value in values)
        return _any_of([{"type": kind} for kind in kinds])

    def _of_type(self, sort: str, schema: Mapping[str, Any]) -> _Written:
        match sort:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return write_number(sort, schema)
            case "boolean" | "null":
                return {"type": sort}
            case _:
                raise GrammarError(f"type: {sort!r:.50} is no type; accepted: {', '.join(_TYPES)}")

    def _object(self, schema: Mapping[str, Any]) -> _Written:
        required = list(dict.fromkeys(schema.get("required", ())))
        named = schema.get("properties", {})
        if schema.get("additionalProperties") is False and not set(required) <= set(named):
            return None
        properties: dict[str, Any] = {}
        optional = 0
        for name, below in {**named, **{name: True for name in required if name not in named}}.items():
            is_required = name in required
            if _UNWRITABLE.search(name):
                if is_required:
                    raise GrammarError(f"properties: the engine cannot write the name {name!r:.100}")
                continue
            optional += not is_required
            if not is_required and optional > _MOST_OPTIONAL:
                continue
            written = self._schema(below)
            if written is not None:
                properties[name] = written
            elif is_required:
                return None
        whole: dict[str, Any] = {"type": "object"}
        if properties:
            return whole | {"properties": properties, "required": required, "additionalProperties": False}
        others = self._schema(schema.get("additionalProperties", True))
        if others is None and not schema.get("patternProperties"):
            return whole | {"properties": {}, "additionalProperties": False}
        return whole | {"additionalProperties": others} if others else whole

    def _array(self, schema: Mapping[str, Any]) -> _Written:
        first = [self._schema(below) for below in schema.get("prefixItems", ())]
        least, most = count_of(schema, "minItems") or 0, count_of(schema, "maxItems")
        if None in first:
            end = first.index(None)
            first, most = first[:end], end if most is None else min(most, end)
        rest = self._schema(schema.get("items", True))
        if rest is None:
            most = len(first) if most is None else min(most, len(first))
        if most is not None and least > most:
            return None
        if most is not None and most < len(first):
            first, rest = first[:most], None
        if first:
            return {"type": "array", "prefixItems": first, "items": False if rest is None else rest}
        whole: dict[str, Any] = {"type": "array", "items": rest or {}}
        if least:
            whole["minItems"] = min(least, _MOST_ITEMS)
        if most is not None and most <= _MOST_ITEMS:
            whole["maxItems"] = most
        return whole

    def _string(self, schema: Mapping[str, Any]) -> _Written:
        least, most = count_of(schema, "minLength") or 0, count_of(schema, "maxLength")
        if most is not None and least > most:
            return None
        if most == 0:
            return {"const": ""}
        pattern, form = schema.get("pattern"), schema.get("format")
        if isinstance(pattern, str) and len(pattern) <= _MOST_REPEATS and _is_simple(pattern):
            return {"type": "string", "pattern": pattern}
        if form in _FORMATS:
            return {"type": "string", "format": form}
        whole: dict[str, Any] = {"type": "string"}
        if least:
            whole["minLength"] = least if least == 1 or self._afford(least) else 1
        if most is not None and most >= whole.get("minLength", 0) and self._afford(most):
            whole["maxLength"] = most
        return whole

    def _afford(self, characters: int) -> bool:
        if characters > min(_LONGEST_LENGTH, self._lengths):
            return False
        self._lengths -= characters
        return True

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """`schema` and the parts of its `allOf` as one: where two of them say something else, the first one holds."""
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        pending = list(schema["allOf"])
        for read in range(_MOST_PARTS + 1):
            if not pending:
                return merged
            part = pending.pop(0)
            if part is False:
                return {"enum": []}
            if not isinstance(part, Mapping):
                continue
            if "$ref" in part:
                pending.insert(0, self._target(part["$ref"]))
                continue
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**value, **merged.get(key, {})}
                elif key == "required":
                    merged[key] = [*merged.get(key, ()), *value]
                elif key == "allOf":
                    pending += value
                else:
                    merged.setdefault(key, value)
            if len(pending) + read > _MOST_PARTS:
                break
        raise GrammarError(f"allOf: has more than {_MOST_PARTS} parts, or refers to itself")

    def _name(self, reference: Any) -> str:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise GrammarError(f"$ref: {reference!r:.100} is in another document; accepted: one that begins with #")
        if reference not in self._names:
            self._names[reference] = f"d{len(self._names)}"
            self._pending.append(reference)
        return self._names[reference]

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise GrammarError(f"$ref: {reference!r:.100} is in another document; accepted: one that begins with #")
        found = self._root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise GrammarError(f"$ref: {reference:.100} leads nowhere")
        return found


def _any_of(options: Sequence[_Written]) -> _Written:
    possible = [option for option in options if option is not None]
    if not possible:
        return None
    return possible[0] if len(possible) == 1 else {"anyOf": possible}


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    """The types that `schema` names, or those that its other keywords are about; none where any type will do."""
    sort = schema.get("type")
    if sort is None:
        return [each for each, keywords in _IMPLIED.items() if any(keyword in schema for keyword in keywords)]
    types = [sort] if isinstance(sort, str) else list(sort)
    # An integer is a number.
    return [each for each in types if not (each == "integer" and "number" in types)]


def _is_simple(pattern: str) -> bool:
    repeats = sum(int(number) for number in re.findall(r"\{(\d+)\}", pattern))
    return repeats <= _MOST_REPEATS and _SIMPLE_PATTERN.fullmatch(pattern) is not None
