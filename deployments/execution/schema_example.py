"""An instance of a JSON schema that says something: how a message is put where a program expects data.

Built by the keywords that OpenAI's structured outputs allow, and the bounds beside them. The message goes into the
first text that takes it; everything else is the plainest value allowed. L1: no I/O, no Ray.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_DEPTH = 12
_MAX_ITEMS = 64
_MAX_LENGTH = 4096
_FORMATS = {
    "date-time": "1970-01-01T00:00:00Z",
    "date": "1970-01-01",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "nobody@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "uri": "https://example.com/",
}


def instance(schema: Mapping[str, Any], message: str) -> Any:
    """A JSON value for `schema` with `message` in it where there is room for it.

    It fits any schema within the subset named above; of others it is an attempt, to be validated by who asks.
    """
    return _Builder(schema, message).build(schema, 0)


class _Builder:
    """Builds one instance; the message is said once."""

    def __init__(self, root: Mapping[str, Any], message: str) -> None:
        self._root = root
        self._message = message
        self._said = False

    def build(self, schema: Any, depth: int) -> Any:
        """The plainest value that `schema` allows."""
        if not isinstance(schema, Mapping):
            return None
        schema = self._resolved(schema)
        for key in ("const", "default"):
            if key in schema and (key == "const" or "enum" not in schema):
                return schema[key]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.build({**schema, key: None, **self._simplest(schema[key], depth)}, depth)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self.build(self._merged(schema), depth)
        return self._of_type(schema, _type_of(schema, depth), depth)

    def _of_type(self, schema: Mapping[str, Any], kind: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return False
            case _:
                return None

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [key for key in schema.get("required", []) if isinstance(key, str)]
        # Texts first: the message belongs where a reader looks for it, not into some nested note.
        keys = list(dict.fromkeys([*(key for key in properties if key in required or depth == 0), *required]))
        if depth >= _MAX_DEPTH:
            keys = required
        order = sorted(keys, key=lambda key: _type_of(self._resolved(properties.get(key, {})), depth) != "string")
        built = {key: self.build(properties.get(key, {}), depth + 1) for key in order}
        if not built and schema.get("additionalProperties") is not False:
            self._said = True
            return {"message": self._message}
        return {key: built[key] for key in keys}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        items = [self.build(item, depth + 1) for item in first] if isinstance(first, list) else []
        wanted = min(int(schema.get("minItems", 0)), _MAX_ITEMS)
        if not wanted and not self._said and depth < _MAX_DEPTH and int(schema.get("maxItems", 1)) > 0:
            wanted = 1 if isinstance(schema.get("items"), Mapping) else 0
        return items + [self.build(schema.get("items", {}), depth + 1) for _ in range(len(items), wanted)]

    def _string(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        least = min(int(schema.get("minLength", 0)), _MAX_LENGTH)
        most = int(schema.get("maxLength", max(least, len(self._message))))
        text = self._message[:most].rstrip() or self._message[:most]
        self._said = True
        return text.ljust(least, ".")

    def _simplest(self, options: Sequence[Any], depth: int) -> Mapping[str, Any]:
        """The option that ends soonest; one that takes a text where the message has not been said."""
        resolved = [self._resolved(option) for option in options if isinstance(option, Mapping)]
        order = ["null", "boolean", "integer", "number", "string", "array", "object"]
        if not self._said and depth < _MAX_DEPTH:
            order = ["string", "object", "array", "integer", "number", "boolean", "null"]
        return min(resolved, key=lambda option: order.index(_type_of(option, depth)), default={})

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            for key, value in (self._resolved(part) if isinstance(part, Mapping) else {}).items():
                old = merged.get(key)
                if key == "properties" and isinstance(old, Mapping) and isinstance(value, Mapping):
                    merged[key] = {**old, **value}
                elif key == "required" and isinstance(old, list) and isinstance(value, list):
                    merged[key] = [*old, *value]
                else:
                    merged[key] = value
        return merged

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """`schema` with its references followed; empty where they lead nowhere."""
        seen = 0
        while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
            target: Any = self._root
            for part in [part for part in schema["$ref"].removeprefix("#").split("/") if part]:
                name = part.replace("~1", "/").replace("~0", "~")
                target = target.get(name, {}) if isinstance(target, Mapping) else {}
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            seen += 1
            if seen > _MAX_DEPTH:
                return {}
        return schema if isinstance(schema, Mapping) else {}


def _type_of(schema: Mapping[str, Any], depth: int) -> str:
    """The type to build: of several the one that can carry a message, deep down the one that ends it."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return kinds if kinds in _KINDS else "null"
    if isinstance(kinds, list) and kinds:
        order = _KINDS if depth < _MAX_DEPTH else _KINDS[::-1]
        return next((kind for kind in order if kind in kinds), "null")
    if any(key in schema for key in ("properties", "required", "additionalProperties")):
        return "object"
    if any(key in schema for key in ("items", "prefixItems", "minItems")):
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum")):
        return "number"
    return "string"


_KINDS = ["string", "object", "array", "integer", "number", "boolean", "null"]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """The number nearest to 0 that the bounds allow."""
    step = schema.get("multipleOf", 1 if whole else 0)
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    nudge = step or 0.5
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + (nudge if step else _between(schema)))
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - (nudge if step else _between(schema)))
    value = min(max(0, low), high)
    if step:
        value = math.ceil(value / step) * step if value == low else math.floor(value / step) * step
    return int(value) if whole else value


def _between(schema: Mapping[str, Any]) -> float:
    """How far from an excluded bound to stay: half of what is between the two, at most 0.5."""
    low = schema.get("exclusiveMinimum", schema.get("minimum", -math.inf))
    high = schema.get("exclusiveMaximum", schema.get("maximum", math.inf))
    return float(min(0.5, (high - low) / 2))
