"""JSON in: what may be decoded at all, and what a Python value has to be to count as the same. L1: no I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.policy.problem import InvalidRequestError, Problem

MAX_DEPTH = 100
_MAX_VALUES = 1_000_000  # a value that contains itself ends here; the encoder refuses it


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds a request is held to.

    Attributes:
        max_bytes: the largest body, as UTF-8 JSON.
        timeout_s: the deadline where the request sets none, in seconds.
        max_timeout_s: the longest deadline it may ask for.
    """

    max_bytes: int
    timeout_s: float
    max_timeout_s: float


def check_size(size: int, limits: Limits) -> None:
    """Refuse a body of more than `limits.max_bytes`; `size` may be what has arrived so far.

    Raises:
        InvalidRequestError: it is too large (413).
    """
    if size > limits.max_bytes:
        raise InvalidRequestError(Problem("body", "is too large", f"at most {limits.max_bytes} bytes", status=413))


def decode(body: bytes, limits: Limits) -> Any:
    """Decode a JSON body.

    Raises:
        InvalidRequestError: it is too large, is not JSON in UTF-8, or is nested more than `MAX_DEPTH` deep.
    """
    check_size(len(body), limits)
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Only the place: the decoder's own text may quote the content.
        place = f"is not valid JSON (line {error.lineno}, column {error.colno})"
        raise InvalidRequestError(Problem("body", place, "a JSON object in UTF-8, without NaN")) from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # only then can it be deeper
        _check_depth(data)
    return data


def encode(data: Any) -> bytes:
    """Write what a Python caller passed as the JSON it stands for.

    Raises:
        InvalidRequestError: it stands for none.
    """
    _refuse_what_json_lacks(data)
    try:
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, orjson.JSONEncodeError) as error:
        problem = Problem("body", f"cannot be written as JSON: {error}", "a mapping of JSON values")
        raise InvalidRequestError(problem) from error


def _check_depth(data: Any) -> None:
    """Refuse what cannot be written again, and would break the recursion of whoever handles it next."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
    if level:
        raise InvalidRequestError(Problem("body", "is nested too deeply", f"at most {MAX_DEPTH} levels"))


def _children(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse_what_json_lacks(data: Any) -> None:
    """Refuse NaN and infinity in plain Python values: the encoder would make them null without a word."""
    pending, seen = [("body", data)], 0
    while pending and seen < _MAX_VALUES:
        seen += 1
        field, value = pending.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequestError(Problem(field, f"is {value}, which JSON does not have", "a finite number"))
        if isinstance(value, Mapping):
            pending += [(str(key) if field == "body" else field, child) for key, child in value.items()]
        elif isinstance(value, (list, tuple)):
            pending += [(field, child) for child in value]
