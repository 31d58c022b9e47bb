"""Random JSON Schemas: ordinary ones, odd ones, and such that contradict themselves."""

from random import Random
from typing import Any

_PATTERNS = (
    "^[a-z]{3}$",
    r"^\d{4}-\d{2}$",
    "^(a|b)+$",
    "(?=x)",
    "[",
    "^a*b+c?$",
    "^.{5}$",
    r"^\w+@\w+\.[a-z]{2}$",
    "^a b/e$",
)
_NUMBERS = (0, 1, -5, 10, 2.5, -0.1, 1e6, 123456789, 1e300, -1e14, 0.3333333333, -99999)
_NAMES = ("a", "b c", 'q"x', "é", "x" * 30, "n\n", "")
_VALUES: tuple[Any, ...] = ("a", "é\n", 1, 2.5, None, True, {"a": 1}, [1, "x"], "", '"', "\\")
_DEEPEST = 4


def some_schema(source: Random, level: int = 0) -> dict[str, Any]:
    """A schema; deeper ones are smaller."""
    made: dict[str, Any] = {}
    kinds = ["string", "integer", "number", "enum", "const", "boolean", "null", "ref"]
    kinds += ["object", "object", "array", "anyOf", "allOf", "types"] if level < _DEEPEST else []
    match source.choice(kinds):
        case "object":
            made = _an_object(source, level)
        case "array":
            made = _an_array(source, level)
        case "string":
            made = {"type": "string"}
            _maybe(source, made, "maxLength", (0, 1, 3, 8, 20, 100, 10**6))
            _maybe(source, made, "minLength", (0, 1, 2, 5, 50))
            _maybe(source, made, "pattern", _PATTERNS)
            _maybe(source, made, "format", ("date", "date-time", "uuid", "email", "odd"))
        case "integer" | "number" as sort:
            made = {"type": sort}
            for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
                _maybe(source, made, keyword, _NUMBERS)
        case "enum":
            made = {"enum": source.sample(_VALUES, source.randint(0, 6))}
        case "const":
            made = {"const": source.choice(_VALUES)}
        case "ref":
            made = {"$ref": source.choice(("#/$defs/a", "#/$defs/b", "#"))}
        case "types":
            made = {"type": source.sample(["string", "integer", "number", "object", "array", "null"], 2)}
        case "anyOf" | "allOf" as keyword:
            made = {keyword: [some_schema(source, level + 1) for _ in range(source.randint(1, 3))]}
        case sort:
            made = {"type": sort}
    return made


def _an_object(source: Random, level: int) -> dict[str, Any]:
    names = [f"{source.choice(_NAMES)}{number}" for number in range(source.randint(0, 5))]
    made = {"type": "object", "properties": {name: some_schema(source, level + 1) for name in names}}
    _maybe(source, made, "required", (names[:2], names[:1], ["else"]))
    _maybe(source, made, "additionalProperties", (False, True, {"type": "string"}))
    _maybe(source, made, "patternProperties", ({"^x": {"type": "string"}},))
    return made


def _an_array(source: Random, level: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "array"}
    _maybe(source, made, "items", (False, some_schema(source, level + 1)))
    _maybe(source, made, "prefixItems", ([some_schema(source, level + 1), False], [some_schema(source, level + 1)]))
    _maybe(source, made, "minItems", (0, 1, 3, 60))
    _maybe(source, made, "maxItems", (0, 1, 3, 80, 10**6))
    return made


def _maybe(source: Random, made: dict[str, Any], keyword: str, values: tuple[Any, ...]) -> None:
    if source.random() < 1 / 3:
        made[keyword] = source.choice(values)
