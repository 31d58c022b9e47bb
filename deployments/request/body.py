"""JSON on its way in: the bounds of a body, and Python values turned into the same JSON."""

import math
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import orjson

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.reason import reason_of
from deployments.request.fields import refuse
from deployments.request.inference import MAX_TOKENS_DEFAULT

MAX_DEPTH = 100
"""The deepest nesting of a body."""

MAX_VALUES = 100_000
"""The most values in a body: lists, objects, texts and nulls. Numbers are not counted, as they come in vectors.

Whatever reads a request walks its values on the event loop, where decoding a body takes a few nanoseconds a byte.
"""

_CONTAINERS = frozenset((dict, list))
_COUNTED = frozenset((dict, list, str, type(None)))
_SHORT = frozenset((bool, int, type(None)))


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of requests.

    Attributes:
        max_bytes: the largest body, as UTF-8 JSON.
        timeout_s: the deadline of a request that sets none, in seconds.
        max_timeout_s: the longest deadline that a request may set, in seconds.
        max_tokens: the longest answer, in tokens, of a request that sets none.
        drills: a request may inject faults into its attempts.
    """

    max_bytes: int
    timeout_s: float
    max_timeout_s: float
    max_tokens: int = MAX_TOKENS_DEFAULT
    drills: bool = False


def check_size(size: int, limits: Limits) -> None:
    """Refuse a body of more than `limits.max_bytes`; `size` may be what has arrived so far.

    Raises:
        InvalidRequestError: the body is too large (413).
    """
    if size > limits.max_bytes:
        raise InvalidRequestError(Problem("body", "is too large", f"at most {limits.max_bytes} bytes", status=413))


def without_mark(body: bytes) -> bytes:
    """Return a body without the byte order mark that it may begin with."""
    return body.removeprefix(BOM_UTF8)


def decode(body: bytes, limits: Limits) -> Any:
    """Decode a JSON body, which may begin with a byte order mark.

    Raises:
        InvalidRequestError: the body is too large, is not JSON in UTF-8, is nested more than `MAX_DEPTH` deep, or has
            more than `MAX_VALUES`.
    """
    check_size(len(body), limits)
    try:
        data = orjson.loads(without_mark(body))
    except orjson.JSONDecodeError as error:
        # Only the position: the decoder's message may quote the content.
        place = f"is not valid JSON (line {error.lineno}, column {error.colno})"
        raise InvalidRequestError(Problem("body", place, "a JSON object in UTF-8, without NaN")) from error
    opened = body.count(b"[") + body.count(b"{")
    if opened > MAX_DEPTH or (len(body) > MAX_VALUES and opened + _most_leaves(body) > MAX_VALUES):
        _check_values(data)  # with fewer it can be neither too deep nor have too many
    return data


def decode_object(body: bytes, limits: Limits) -> Mapping[str, Any]:
    """Decode a JSON body that has to be an object; see `decode`."""
    data = decode(body, limits)
    if not isinstance(data, Mapping):
        raise refuse("body", data, "a JSON object")
    return data


def encode(data: Any, limits: Limits) -> bytes:
    """Return the JSON of a value that a Python caller passed.

    Raises:
        InvalidRequestError: the value cannot be written as JSON, or holds NaN or an infinity; or its JSON would be too
            large or nested too deeply.
    """
    try:
        _least_size(data, limits)
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    except InvalidRequestError:
        raise
    except Exception as error:  # the caller's own objects are asked for their parts, and may raise anything
        problem = Problem("body", f"cannot be written as JSON: {reason_of(error)}", "a mapping of JSON values")
        raise InvalidRequestError(problem) from error


def _most_leaves(body: bytes) -> int:
    """Return an upper bound of the texts and nulls in a body, at the speed of memory."""
    return body.count(b'"') // 2 + body.count(b"null")


def _check_values(data: Any) -> None:
    """Refuse deep nesting, which could not be encoded again, and would exhaust the stack of recursive code.

    And refuse more values than may be walked by whatever reads the request.
    """
    level, number = [data] if type(data) in _CONTAINERS else [], 1
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            children = value.values() if type(value) is dict else value
            inner += [child for child in children if type(child) in _COUNTED]
            if number + len(inner) > MAX_VALUES:
                raise InvalidRequestError(Problem("body", "has too many values", _VALUES))
        number += len(inner)
        level = [value for value in inner if type(value) in _CONTAINERS]
        if not level:
            return
    raise _too_deep()


_VALUES = f"at most {MAX_VALUES} lists, objects, texts and nulls"


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(Problem("body", "is nested too deeply", f"at most {MAX_DEPTH} levels"))


def _least_size(data: Any, limits: Limits) -> int:
    """Return a lower bound of the JSON's length, in characters, in a walk over each container once.

    What stands at many places is walked at one and counts at each: twenty lists that hold the one before twice are a
    million values to the encoder, which would not come back.

    Raises:
        InvalidRequestError: the value is too large, contains itself or is nested too deeply; or it holds NaN or an
            infinity, which the encoder would turn into null silently.
    """
    walked: dict[int, tuple[Any, int]] = {}  # the container goes in, too: without it its id may come again

    def size(value: Any, field: str, depth: int) -> int:
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequestError(Problem(field, f"is {value}, which JSON does not have", "a finite number"))
        if isinstance(value, str):
            return str.__len__(value)
        inner = _parts(value)
        if inner is None:
            return 1
        if id(value) in walked:
            return walked[id(value)][1]
        if depth > MAX_DEPTH:
            raise _too_deep()
        total = 1
        for key, part in inner:
            total += 1 if type(part) in _SHORT else size(part, field or str(key), depth + 1)
            check_size(total, limits)
        walked[id(value)] = (value, total)
        return total

    return size(data, "", 1)


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return what the encoder looks for in a value, by the fields' names; nothing for what holds no other value."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (list, tuple)):
        return (("", part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in fields(value))
    return None
