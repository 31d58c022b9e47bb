"""JSON on its way in: the bounds of a body, and Python values turned into the same JSON."""

import math
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.reason import reason_of
from deployments.request.fields import refuse
from deployments.request.inference import MAX_TOKENS_DEFAULT

MAX_DEPTH = 100
_MAX_VALUES = 1_000_000  # bounds the walk over a value that contains itself; the encoder refuses such a value


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of requests.

    Attributes:
        max_bytes: the largest body, as UTF-8 JSON.
        timeout_s: the deadline of a request that sets none, in seconds.
        max_timeout_s: the longest deadline that a request may set, in seconds.
        max_tokens: the longest answer, in tokens, of a request that sets none.
    """

    max_bytes: int
    timeout_s: float
    max_timeout_s: float
    max_tokens: int = MAX_TOKENS_DEFAULT


def check_size(size: int, limits: Limits) -> None:
    """Refuse a body of more than `limits.max_bytes`; `size` may be what has arrived so far.

    Raises:
        InvalidRequestError: the body is too large (413).
    """
    if size > limits.max_bytes:
        raise InvalidRequestError(Problem("body", "is too large", f"at most {limits.max_bytes} bytes", status=413))


def decode(body: bytes, limits: Limits) -> Any:
    """Decode a JSON body, which may begin with a byte order mark.

    Raises:
        InvalidRequestError: the body is too large, is not JSON in UTF-8, or is nested more than `MAX_DEPTH` deep.
    """
    check_size(len(body), limits)
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.startswith(BOM_UTF8):
            return decode(body.removeprefix(BOM_UTF8), limits)
        # Only the position: the decoder's message may quote the content.
        place = f"is not valid JSON (line {error.lineno}, column {error.colno})"
        raise InvalidRequestError(Problem("body", place, "a JSON object in UTF-8, without NaN")) from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # with fewer it cannot be too deep
        _check_depth(data)
    return data


def decode_object(body: bytes, limits: Limits) -> Mapping[str, Any]:
    """Decode a JSON body that has to be an object; see `decode`."""
    data = decode(body, limits)
    if not isinstance(data, Mapping):
        raise refuse("body", data, "a JSON object")
    return data


def encode(data: Any) -> bytes:
    """Return the JSON of a value that a Python caller passed.

    Raises:
        InvalidRequestError: the value cannot be written as JSON, or holds NaN or an infinity.
    """
    try:
        _refuse_what_json_lacks(data)
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    except InvalidRequestError:
        raise
    except Exception as error:  # the caller's own objects are asked for their parts, and may raise anything
        problem = Problem("body", f"cannot be written as JSON: {reason_of(error)}", "a mapping of JSON values")
        raise InvalidRequestError(problem) from error


def _check_depth(data: Any) -> None:
    """Refuse deep nesting: it could not be encoded again, and would exhaust the stack of recursive code."""
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
    """Refuse NaN and infinities in plain Python values: the encoder would turn them into null silently."""
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
