"""Single fields of a request, for every format that is read. A field that is `null` counts as one not sent."""

import math
from collections.abc import Mapping
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem

MAX_MODEL_NAME = 128
MAX_COUNT = (1 << 31) - 1


def kind(value: Any) -> str:
    """What `value` is, in words that quote nothing of it."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true or false"
        case str():
            return "an empty text" if is_blank(value) else "a text"
        case int() | float():
            return "a number" if value > 0 else "a number that is not above 0"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case Mapping():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def refuse(field: str, value: Any, accepted: str) -> InvalidRequestError:
    """The error that says what `value` is instead of what is accepted."""
    return InvalidRequestError(Problem(field, f"is {kind(value)}", accepted))


def read_flag(data: Mapping[str, Any], key: str) -> bool | None:
    """A boolean; `None` where it was not sent.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise refuse(key, value, "true or false")
    return value


def read_name(data: Mapping[str, Any], key: str) -> str:
    """A text; empty where it was not sent.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refuse(key, value, "a text")
    return value


def read_object(data: Mapping[str, Any], key: str, accepted: str) -> Mapping[str, Any]:
    """An object; empty where it was not sent.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refuse(key, value, accepted)
    return value


def to_number(field: str, value: Any, accepted: str) -> float:
    """`value` as a finite number.

    Raises:
        InvalidRequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse(field, value, accepted)
    if not math.isfinite(value):
        raise InvalidRequestError(Problem(field, "is out of range", accepted))
    return float(value)


def read_number(data: Mapping[str, Any], key: str, low: float, high: float, *, above_low: bool = False) -> float | None:
    """A number from `low` (excluded where `above_low`) to `high`; `None` where it was not sent.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = data.get(key)
    if value is None:
        return None
    accepted = f"a number above {low:g} and at most {high:g}" if above_low else f"a number from {low:g} to {high:g}"
    number = to_number(key, value, accepted)
    if not low <= number <= high or (above_low and number == low):
        raise InvalidRequestError(Problem(key, "is out of range", accepted))
    return number


def read_count(data: Mapping[str, Any], key: str) -> int | None:
    """A whole number from 1 to `MAX_COUNT`; `None` where it was not sent.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = data.get(key)
    if value is None:
        return None
    accepted = f"a whole number from 1 to {MAX_COUNT}"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(key, value, accepted)
    if value > MAX_COUNT:
        raise InvalidRequestError(Problem(key, "is out of range", accepted))
    return value


def read_model(data: Mapping[str, Any], path_model: Any = "") -> str:
    """The model asked for, which may be in the path as well; empty where none is.

    Raises:
        InvalidRequestError: it is no model's name, or the two differ.
    """
    value = data.get("model")
    accepted = f"a model's name of at most {MAX_MODEL_NAME} characters; GET /v1/models lists them"
    if value is None and not path_model:
        return ""
    if value is None:
        value = path_model
    if not isinstance(value, str) or is_blank(value):
        raise refuse("model", value, accepted)
    if path_model and value != path_model:
        raise InvalidRequestError(Problem("model", "differs from the model in the path", "the same, or only one"))
    if len(value) > MAX_MODEL_NAME:
        raise InvalidRequestError(Problem("model", "is too long", accepted))
    return value
