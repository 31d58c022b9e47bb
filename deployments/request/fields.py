"""Readers of single fields, for every format. A field that is `null` counts as not sent."""

import math
from collections.abc import Mapping
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem

MAX_MODEL_NAME = 128
MAX_COUNT = (1 << 31) - 1
A_MODEL = f"a model's name of at most {MAX_MODEL_NAME} characters; GET /v1/models lists them"
MAX_TYPE = 64
"""Characters of the longest `type` of a part, a tool or a form."""


def kind(value: Any) -> str:
    """Describe `value` without quoting it, for an error: "an empty text", "a list"."""
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
    """Return the error that says what `value` is, and what would be accepted."""
    return InvalidRequestError(Problem(field, f"is {kind(value)}", accepted))


def read_name(data: Mapping[str, Any], key: str) -> str:
    """Return a text field; an empty text where it was not sent.

    Raises:
        InvalidRequestError: the field is not a text.
    """
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refuse(key, value, "a text")
    return value


def to_number(field: str, value: Any, accepted: str) -> float:
    """Return `value` as a finite number.

    Raises:
        InvalidRequestError: `value` is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse(field, value, accepted)
    try:
        number = float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise InvalidRequestError(Problem(field, "is out of range", accepted)) from error
    if not math.isfinite(number):
        raise InvalidRequestError(Problem(field, "is out of range", accepted))
    return number


def read_model(name: Any, path_model: str = "") -> str:
    """Return the model that a body or the path names; empty where neither does.

    Args:
        name: the one in the body; empty or `None` where it names none.
        path_model: the one in the path.

    Raises:
        InvalidRequestError: the name is not valid, or body and path name different models.
    """
    if name is None and not path_model:
        return ""
    if name is None:
        name = path_model
    if not isinstance(name, str) or is_blank(name):
        raise refuse("model", name, A_MODEL)
    if path_model and name != path_model:
        raise InvalidRequestError(Problem("model", "differs from the model in the path", "the same, or only one"))
    if len(name) > MAX_MODEL_NAME:
        raise InvalidRequestError(Problem("model", "is too long", A_MODEL))
    return name
