"""Checks JSON against a caller's schema, within a bound of steps.

The library `jsonschema` applies the rules of JSON Schema. Five changes bound the time of a check by the sizes of the
schema, which `request.schema` has accepted, and of the answer:

- each keyword that is applied takes a few steps, and further ones for the values that it compares: a schema that is
  recursive in the answer's depth can take exponentially many;
- `pattern` and `patternProperties` are matched in linear time (`patterns`). An expression that needs a backtracking
  engine (lookahead, references to groups) is not checked;
- `uniqueItems` compares the items' JSON, where the library compares each item with each other one;
- `anyOf` and `oneOf` drop the errors of what does not fit, where the library collects all of them;
- values have short representations, as the library writes values into the text of every error, even those it drops.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from deployments.execution.checked_json import shorten, weigh
from deployments.execution.patterns import matches
from deployments.execution.steps import TooManyStepsError, steps

_KEYWORD_STEPS = 4
_REFERENCE_STEPS = 10
_BYTES_A_STEP = 64

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def find_violation(value: Any, schema: bytes) -> str:
    """Return where decoded JSON violates `schema`, and by which keyword; empty where it fits. No value is quoted.

    Raises:
        MisfitError: the value is nested too deeply.
        TooManyStepsError: the check takes more steps than it has, or more levels than the interpreter has.
    """
    try:
        error = next(_validator(schema).iter_errors(shorten(value)), None)
    except RecursionError as error:  # the levels of the schema times those of the value, each of them within its bound
        raise TooManyStepsError from error
    return "" if error is None else f"at {error.json_path[:100]} by {str(error.validator)[:50]}"


@lru_cache(maxsize=128)
def _validator(schema: bytes) -> Any:
    """Build the validator of a schema. Cached: callers send the same schema again and again."""
    return _Validator(shorten(orjson.loads(schema)), registry=Registry())


def _counted(keyword: str, check: Keyword) -> Keyword:
    """Return `check`, with steps taken for each call, and for each value that it looks at."""
    base = _REFERENCE_STEPS if keyword == "$ref" else _KEYWORD_STEPS
    measure = _LOOKED_AT.get(keyword, _sizes)

    def counted(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        steps.take(base + measure(wanted, instance))
        return check(validator, wanted, instance, schema)

    return counted


def _sizes(wanted: Any, instance: Any) -> int:
    return _size(wanted) + _size(instance)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0


def _compared_with_all(wanted: Any, instance: Any) -> int:
    return min(weigh(wanted), len(wanted) * (1 + weigh(instance)))


def _compared(wanted: Any, instance: Any) -> int:
    return min(weigh(wanted), weigh(instance))


_LOOKED_AT: Mapping[str, Callable[[Any, Any], int]] = {
    "enum": _compared_with_all,
    "const": _compared,
    "dependentRequired": lambda wanted, _: weigh(wanted),
    "uniqueItems": lambda wanted, instance: weigh(instance) if wanted else 0,
}
"""The number of values that a keyword looks at, where they are not just the items of its value and of the instance."""


def _pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(wanted, instance):
        yield ValidationError("does not match")


def _pattern_properties(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, schema in wanted.items():
            for key, value in instance.items():
                if matches(pattern, key, unknown=False):
                    yield from validator.descend(value, schema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named: Mapping[str, Any] = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    for key, value in instance.items():
        if key in named or any(matches(pattern, key) for pattern in patterns):
            continue
        if wanted is False:
            yield ValidationError("an additional property")
        else:
            yield from validator.descend(value, wanted, path=key)


def _unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        written = [orjson.dumps(_canonical(item), option=orjson.OPT_SORT_KEYS) for item in instance]
        steps.take(sum(map(len, written)) // _BYTES_A_STEP)
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
            return int(value) if abs(value) < 2**63 else value
        case str():
            return str(value)
        case _:
            return value


def _fits(validator: Any, schema: Any, instance: Any) -> bool:
    return next(validator.descend(instance, schema), None) is None


def _any_of(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if not any(_fits(validator, schema, instance) for schema in wanted):
        yield ValidationError("fits none")


def _one_of(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    fitting = (None for schema in wanted if _fits(validator, schema, instance))
    if next(fitting, False) is False or next(fitting, False) is not False:
        yield ValidationError("fits none, or more than one")


_OWN: dict[str, Keyword] = {
    "anyOf": _any_of,
    "oneOf": _one_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_FROM_LIBRARY: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)

_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(name, check) for name, check in (_FROM_LIBRARY | _OWN).items()}
)
