"""Checks JSON against a caller's schema, within a bound of steps.

The library `jsonschema` applies the rules of JSON Schema. Four changes bound the time of a check by the sizes of the
schema, which `request.schema` has accepted, and of the answer:

- each keyword that is applied takes a step, and further steps for the values that it compares. The check is given up
  after `MAX_STEPS`: a schema that is recursive in the answer's depth can take exponentially many;
- `pattern` and `patternProperties` are matched in linear time (Rust's regex). An expression that needs a backtracking
  engine (lookahead, references to groups) is not checked;
- `uniqueItems` compares the items' JSON, where the library compares each item with each other one;
- values have short representations, as the library writes values into the text of every error, even those it drops.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

MAX_STEPS = 200_000
"""The most steps of one check; a step takes a microsecond or two."""

_REFERENCE_STEPS = 10
_BYTES_A_STEP = 64

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class TooManyStepsError(Exception):
    """A check takes more than `MAX_STEPS`."""


def find_violation(value: bytes, schema: bytes) -> str:
    """Return where the JSON `value` violates `schema`, and by which keyword; empty where it fits. No value is quoted.

    Raises:
        TooManyStepsError: the check takes more than `MAX_STEPS`.
    """
    _steps.left = MAX_STEPS
    error = next(_validator(schema).iter_errors(_short(orjson.loads(value))), None)
    return "" if error is None else f"at {error.json_path[:100]} by {str(error.validator)[:50]}"


@lru_cache(maxsize=128)
def _validator(schema: bytes) -> Any:
    """Build the validator of a schema. Cached: callers send the same schema again and again."""
    return _Validator(_short(orjson.loads(schema)), registry=Registry())


class _Steps(threading.local):
    """The steps that are left for the check in the running thread."""

    left = MAX_STEPS

    def take(self, number: int) -> None:
        self.left -= number
        if self.left < 0:
            raise TooManyStepsError


_steps = _Steps()


class _Object(dict[str, Any]):
    def __repr__(self) -> str:
        return "{...}"


class _Array(list[Any]):
    def __repr__(self) -> str:
        return "[...]"


class _String(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def _short(value: Any) -> Any:
    """Return `value` with short representations. The recursion is safe: the decoder bounds the depth of JSON."""
    match value:
        case dict():
            return _Object((key, _short(child)) for key, child in value.items())
        case list():
            return _Array(_short(child) for child in value)
        case str():
            return _String(value)
        case _:
            return value


def _counted(keyword: str, check: Keyword) -> Keyword:
    """Return `check`, with a step taken for each call, and for each item of the keyword's value and of the instance."""
    base = _REFERENCE_STEPS if keyword == "$ref" else 1

    def counted(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        _steps.take(base + _size(wanted) + _size(instance))
        return check(validator, wanted, instance, schema)

    return counted


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> Any:
    """Return a matcher of `pattern` in linear time; `None` where the pattern needs backtracking."""
    try:
        return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        return None


def _matches(pattern: str, text: str, *, unknown: bool = True) -> bool:
    """Return whether `pattern` matches in `text`; `unknown` where it cannot be matched in linear time."""
    _steps.take(1 + len(text) // _BYTES_A_STEP)
    expression = _expression(str(pattern))
    return unknown if expression is None else bool(expression.is_valid(str(text)))


def _pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches(wanted, instance):
        yield ValidationError("does not match")


def _pattern_properties(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in wanted.items():
            for key, value in instance.items():
                if _matches(pattern, key, unknown=False):
                    yield from validator.descend(value, schema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named: Mapping[str, Any] = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    for key, value in instance.items():
        if key in named or any(_matches(pattern, key) for pattern in patterns):
            continue
        if wanted is False:
            yield ValidationError("an additional property")
        else:
            yield from validator.descend(value, wanted, path=key)


def _unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        written = [orjson.dumps(_canonical(item), option=orjson.OPT_SORT_KEYS) for item in instance]
        _steps.take(sum(map(len, written)) // _BYTES_A_STEP)
        if len(set(written)) < len(written):
            yield ValidationError("items are not unique")


def _canonical(value: Any) -> Any:
    """Write values that JSON Schema calls equal alike: 1.0 is 1."""
    match value:
        case dict():
            return {key: _canonical(child) for key, child in value.items()}
        case list():
            return [_canonical(child) for child in value]
        case float() if value.is_integer():
            return int(value) if abs(value) < 2**53 else value
        case str():
            return str(value)
        case _:
            return value


_OWN: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_FROM_LIBRARY: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)

_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(name, check) for name, check in (_FROM_LIBRARY | _OWN).items()}
)
