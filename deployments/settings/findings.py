"""Every fault of a file at once, in the words of the file.

pydantic does not build a section that has an invalid value, so the rules between the fields of that section are not
checked. Therefore invalid values are removed and the rest is validated again, until nothing new is found. A fault of a
later round that mentions a removed key may come from the removal, and is dropped. Where a required key is missing or
removed, the rules between its neighbours are checked only once it is right.

The order: unknown keys first, each with the nearest known one; then the others as they stand in the file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import takewhile
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deployments.settings.errors import Fault

REFERENCE = "docs/configuration.md"
"""Where the reference of the configuration is, from the root of the project."""

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_TAG_ERRORS = frozenset({"union_tag_not_found", "union_tag_invalid"})
_NO_MAPPING = frozenset({"dataclass_type", "model_type", "dict_type"})
_RULE = re.compile(r"(?P<key>[\w.-]+): (?P<wrong>.*?)(?:; accepted: (?P<accepted>.*))?", re.DOTALL)
_MOST_SHOWN = 80

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """One fault.

    Attributes:
        path: of the value, or of the value that is missing.
        unknown: the key is not one of the settings.
        near: the known key that was most likely meant; empty if there is none.
        missing: there is no value.
        too_short: the value is a list with too little in it.
        wrong: see `Fault`.
        accepted: see `Fault`.
    """

    path: _Path
    wrong: str
    accepted: str
    unknown: bool = False
    near: str = ""
    missing: bool = False
    too_short: bool = False


def find_faults(adapter: TypeAdapter[Any], data: Any, file: str, error: ValidationError) -> tuple[Fault, ...]:
    """Everything that is wrong with `data`, read from `file`, which `adapter` has refused with `error`."""
    schema = _schema(adapter)
    found: dict[tuple[_Path, str], _Finding] = {}
    taken_out: set[str] = set()
    rest = data
    while True:
        findings = [each for one in error.errors(include_url=False) for each in _findings(one, rest, schema)]
        findings = [each for each in findings if not (each.too_short and _holds_another(each.path, findings))]
        fresh = [each for each in findings if (each.path, each.wrong) not in found and not _mentions(each, taken_out)]
        found |= {(each.path, each.wrong): each for each in fresh}
        before, rest = rest, data
        for each in found.values():
            rest = _without(rest, each.path)
            taken_out |= {str(part) for part in (*each.path[-1:], *_named(each.path)[-1:])}
            if each.near and not _holds(data, (*each.path[:-1], each.near)):
                taken_out.add(each.near)  # it was meant, and its value is not where the rules look for it
        if rest == before:
            break
        try:
            adapter.validate_python(rest)
            break
        except ValidationError as again:
            error = again
    return tuple(_in_order(found.values(), data, file))


@lru_cache(maxsize=32)
def _schema(adapter: TypeAdapter[Any]) -> Mapping[str, Any]:
    """Kept: it takes a tenth of a second to make, and a router takes settings over on its event loop."""
    return adapter.json_schema()


def _in_order(findings: Any, data: Any, file: str) -> Iterator[Fault]:
    meant = {(*each.path[:-1], each.near) for each in findings if each.near}
    for each in sorted(findings, key=lambda each: (not each.unknown, _position(each.path, data))):
        if not (each.missing and each.path in meant):
            yield Fault(file, ".".join(map(str, each.path)), each.wrong, each.accepted)


def _findings(error: Any, data: Any, schema: Mapping[str, Any]) -> Iterator[_Finding]:
    """Return the faults that one error of pydantic stands for; a rule between values may find several."""
    path, kind = _path(error, data), error["type"]
    if kind in _UNKNOWN:
        near = _nearest(path[-1], _known_keys(schema, error["loc"][:-1]))
        hint = f": did you mean {near}?" if near else ""
        yield _Finding(path, f"is not a setting{hint}", f"the keys in {REFERENCE}", unknown=True, near=near)
    elif kind == "missing":
        yield _Finding(path, "is missing", "a value", missing=True)
    elif kind in _TAG_ERRORS:
        yield from _tag_findings(error, path, schema)
    elif kind == "value_error":
        for line in str(error["ctx"]["error"]).split("\n"):
            rule = _RULE.fullmatch(line)
            if rule is None:
                yield _Finding(path, line, "")
            else:
                yield _Finding((*path, *rule["key"].split(".")), rule["wrong"], rule["accepted"] or "")
    elif kind in _NO_MAPPING:
        yield _Finding(path, f"is {_kind_of(error['input'])}", "a mapping")
    else:
        shown = _shown(error["input"], secret=_is_secret(schema, error["loc"]))
        yield _Finding(path, shown, _accepted(error), too_short=kind == "too_short")


def _tag_findings(error: Any, path: _Path, schema: Mapping[str, Any]) -> Iterator[_Finding]:
    """A value whose kind is told by one of its keys, and that key is missing, or has another value than is known."""
    tag = error["ctx"]["discriminator"].strip("'")
    options = ", ".join(repr(option) for option in _at(schema, error["loc"])["discriminator"]["mapping"])
    if error["type"] == "union_tag_invalid":
        yield _Finding((*path, tag), f"is {error['ctx']['tag']!r}", options)
        return
    yield _Finding((*path, tag), "is missing", options, missing=True)
    for key in error["input"]:
        if _nearest(key, [tag]):
            yield _Finding((*path, str(key)), f"is not a setting: did you mean {tag}?", options, unknown=True, near=tag)


def _accepted(error: Any) -> str:
    match error["type"]:
        case "too_short":
            return f"at least {error['ctx']['min_length']} of them"
        case "string_pattern_mismatch":
            return f"a text that matches {error['ctx']['pattern']}"
        case "invalid_key":
            return "a text as the key"
        case _:
            message: str = error["msg"]
            return message.removeprefix("Input should be ").removeprefix("String should ").split(", unable")[0]


def _path(error: Any, data: Any) -> _Path:
    """The path as the user wrote it: pydantic's own also names the member of a union that was tried."""
    path: list[str | int] = []
    for part in error["loc"]:
        held = isinstance(data, Mapping) and part in data
        if held or (isinstance(data, (list, tuple)) and isinstance(part, int)):
            data = data[part]
            path.append(part)
        elif error["type"] == "missing" and part == error["loc"][-1]:
            path.append(part)
    return tuple(path)


def _position(path: _Path, data: Any) -> tuple[int, ...]:
    """Where `path` stands in the file; what is not there stands behind what is."""
    places = []
    for part in path:
        keys: list[Any] = list(data) if isinstance(data, Mapping) else []
        if isinstance(data, (list, tuple)) and isinstance(part, int):
            places.append(part)
            data = data[part]
        elif part in keys:
            places.append(keys.index(part))
            data = data[part]
        else:
            places.append(len(keys))
            break
    return tuple(places)


def _without(data: Any, path: _Path) -> Any:
    """`data` without the value at `path`; a list goes as a whole, as the places in it are told by their numbers."""
    path = _named(path)
    if not path or not isinstance(data, Mapping) or path[0] not in data:
        return data
    first, *rest = path
    inner = data[first]
    if rest and isinstance(inner, Mapping) and rest[0] in inner:
        return {**data, first: _without(inner, tuple(rest))}
    return {key: value for key, value in data.items() if key != first}


def _named(path: _Path) -> _Path:
    """`path` as far as it leads through mappings."""
    return tuple(takewhile(lambda part: not isinstance(part, int), path))


def _holds(data: Any, path: _Path) -> bool:
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True


def _mentions(finding: _Finding, names: set[str]) -> bool:
    words = {*re.findall(r"[\w.-]+", finding.wrong), *(str(part) for part in finding.path)}
    return not words.isdisjoint(names)


def _shown(value: Any, *, secret: bool) -> str:
    """What stands there instead. Neither a collection nor a place for credentials is quoted: it ends up in a log."""
    if secret:
        return "does not fit"
    if value is None or isinstance(value, (Mapping, list, tuple, set)):
        return f"is {_kind_of(value)}"
    return f"is {value!r}"[:_MOST_SHOWN]


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case Mapping():
            return "a mapping"
        case list() | tuple() | set():
            return "a list" if value else "an empty list"
        case str():
            return "a text"
        case _:
            return f"a value of type {type(value).__name__}"


def _holds_another(path: _Path, findings: list[_Finding]) -> bool:
    """Pydantic calls a list too short, too, if what is in it does not fit."""
    return any(each.path[: len(path)] == path and len(each.path) > len(path) for each in findings)


def _nearest(key: object, known: list[str]) -> str:
    return next(iter(get_close_matches(str(key), known, n=1)), "")


def _known_keys(schema: Mapping[str, Any], loc: _Path) -> list[str]:
    return list(_at(schema, loc).get("properties", ()))


def _is_secret(schema: Mapping[str, Any], loc: _Path) -> bool:
    return any(_at(schema, loc[: end + 1]).get("writeOnly") for end in range(len(loc)))


def _at(schema: Mapping[str, Any], loc: _Path) -> Mapping[str, Any]:
    """The part of a JSON schema that `loc`, a place as pydantic names it, is validated by; empty if it is not found."""
    here = _resolved(schema, schema)
    for part in loc:
        here = _resolved(_step(here, part), schema)
    return here


def _step(here: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    options = [here, *here.get("anyOf", ())]
    for option in options:
        if part in (mapping := option.get("discriminator", {}).get("mapping", {})):
            return {"$ref": mapping[part]}
        if part in (properties := option.get("properties", {})):
            found: Mapping[str, Any] = properties[part]
            return found
        values = [*option.get("patternProperties", {}).values(), option.get("additionalProperties")]
        for inner in (option.get("items"),) if isinstance(part, int) else values:
            if isinstance(inner, Mapping):
                return inner
    return {}


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """`part`, or what it refers to, with what is said beside the reference."""
    if "$ref" not in part:
        return part
    target = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return {**_resolved(target, schema), **{key: value for key, value in part.items() if key != "$ref"}}
