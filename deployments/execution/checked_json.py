"""JSON that is to be checked against a schema: decoded within bounds, and put into a form that is cheap to handle.

An answer may be long, and whatever decodes it holds the interpreter's lock until it is done. So the bounds on its size
come before the decoder, from counts that run at the speed of memory.
"""

from typing import Any

import orjson

from deployments.execution.steps import TooManyStepsError, steps
from deployments.request.body import MAX_DEPTH

MAX_CHECKED_BYTES = 2 << 20
"""The longest answer that is checked."""

MAX_CHECKED_VALUES = 100_000
"""The most values in an answer that is checked, by the brackets and commas in it: those in texts count, too."""

_VALUES_A_STEP = 2


class TooLargeError(Exception):
    """The answer is larger than what is checked; the text says by which bound."""


class MisfitError(Exception):
    """The answer fits no form at all; the text says why, and quotes nothing."""


def decode_answer(text: str) -> Any:
    """Decode `text` in tens of milliseconds at most.

    Raises:
        TooLargeError: it has more than `MAX_CHECKED_BYTES`, or more than `MAX_CHECKED_VALUES`.
        MisfitError: it is not JSON.
        TooManyStepsError: the running check has too few steps for so many values.
    """
    if len(text) > MAX_CHECKED_BYTES:
        raise TooLargeError(f"it has more than {MAX_CHECKED_BYTES} bytes")
    try:
        written = text.encode()
    except UnicodeEncodeError as error:
        raise MisfitError("it is not JSON") from error
    if len(written) > MAX_CHECKED_BYTES:
        raise TooLargeError(f"it has more than {MAX_CHECKED_BYTES} bytes")
    values = 1 + written.count(b",") + written.count(b"[") + written.count(b"{")
    if values > MAX_CHECKED_VALUES:
        raise TooLargeError(f"it has more than {MAX_CHECKED_VALUES} values")
    if values // _VALUES_A_STEP > steps.most:
        raise TooManyStepsError
    try:
        return orjson.loads(written)
    except orjson.JSONDecodeError as error:
        raise MisfitError("it is not JSON") from error


class _Object(dict[str, Any]):
    weight = 0

    def __repr__(self) -> str:
        return "{...}"


class _Array(list[Any]):
    weight = 0

    def __repr__(self) -> str:
        return "[...]"


class _String(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def shorten(value: Any, depth: int = 0) -> Any:
    """Return decoded JSON with short representations: a validator writes values into the text of every error.

    Raises:
        MisfitError: it is nested more than `MAX_DEPTH` deep, as no request may be.
        TooManyStepsError: the running check has not enough steps left to do this.
    """
    if depth > MAX_DEPTH:
        raise MisfitError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, (dict, list)):
        steps.take(1 + len(value) // _VALUES_A_STEP)
    match value:
        case dict():
            return _Object([(key, shorten(child, depth + 1)) for key, child in value.items()])
        case list():
            return _Array([shorten(child, depth + 1) for child in value])
        case str():
            return _String(value)
        case _:
            return value


def weigh(value: Any) -> int:
    """Return the number of values in what `shorten` gave, itself included. Counted once for each part of it."""
    if not isinstance(value, (_Object, _Array)):
        return 1
    if not value.weight:
        value.weight = 1 + sum(map(weigh, value.values() if isinstance(value, _Object) else value))
    return value.weight
