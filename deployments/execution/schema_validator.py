"""Holds JSON to a caller's schema, within a bound of steps.

The rules of JSON Schema are those of the library `jsonschema`; four things are done differently here, so that no schema
that was let in (`request.schema`) and no answer takes longer than its size says:

- every keyword that is applied takes a step, and more for what it compares; at `MAX_STEPS` the check is given up. A
  schema that is recursive in the answer's depth can take exponentially many;
- `pattern` and `patternProperties` are matched in linear time (Rust's regex); an expression that only a backtracking
  engine understands (lookahead, references to groups) is not looked at;
- `uniqueItems` compares what the items are written as, where the library compares each with each;
- values have short representations: the library writes them into the text of every error, also of those that it drops.
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
"""A step takes a microsecond or two."""

_REFERENCE_STEPS = 10
_BYTES_A_STEP = 64

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class TooManyStepsError(Exception):
    """A check takes too long."""


def find_violation(value: bytes, schema: bytes) -> str:
    """Where the JSON `value` does not fit `schema`, and by which keyword; empty where it fits. Nothing of it is quoted.

    Raises:
        TooManyStepsError: to find out takes too long.
    """
    _steps.left = MAX_STEPS
    error = next(_validator(schema).iter_errors(_short(orjson.loads(value))), None)
    return "" if error is None else f"at {error.json_path[:100]} by {str(error.validator)[:50]}"


@lru_cache(maxsize=128)
def _validator(schema: bytes) -> Any:
    """Callers send the same schema again and again."""
    return _Validator(_short(orjson.loads(schema)), registry=Registry())


class _Steps(threading.local):
    """What is left for the check that the running thread makes."""

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
    """`value` with short representations; its depth is bounded by the decoder's."""
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
    """`check`, which takes steps for what it looks at."""
    base = _REFERENCE_STEPS if keyword == "$ref" else 1

    def counted(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        _steps.take(base + _size(wanted) + _size(instance))
        return check(validator, wanted, instance, schema)

    return counted


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> Any:
    """What matches `pattern` in linear time; `None` where nothing does."""
    try:
        return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        return None


def _matches(pattern: str, text: str, *, unknown: bool = True) -> bool:
    """Whether `pattern` matches in `text`; `unknown` where that cannot be found out in linear time."""
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
    """Equal values in one form: 1.0 is 1."""
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
_LIBRARYS: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)

_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(name, check) for name, check in (_LIBRARYS | _OWN).items()}
)
