"""Reads sampling parameters, within the bounds of OpenAI's API in every format."""

from collections.abc import Mapping
from typing import Any

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import read_count, read_number, read_object, refuse, to_number
from deployments.request.inference import NO_PARAMETERS, Parameters

MAX_STOPS = 4
MAX_SEED = (1 << 63) - 1
"""The largest seed: engines take 64-bit integers, some signed and some unsigned."""

_KEYS = frozenset(Parameters.__struct_fields__)
_MAX_BIAS = 100.0
_MAX_TOKEN_DIGITS = 9


def read_parameters(data: Mapping[str, Any]) -> Parameters:
    """Read all of `Parameters` except `logit_bias`, which only OpenAI's format has.

    Raises:
        InvalidRequestError: a parameter is not valid.
    """
    if data.keys().isdisjoint(_KEYS):
        return NO_PARAMETERS
    return Parameters(
        max_tokens=read_count(data, "max_tokens"),
        temperature=read_number(data, "temperature", 0, 2),
        top_p=read_number(data, "top_p", 0, 1, above_low=True),
        stop=_read_stop(data),
        seed=_read_seed(data),
        presence_penalty=read_number(data, "presence_penalty", -2, 2),
        frequency_penalty=read_number(data, "frequency_penalty", -2, 2),
    )


def read_logit_bias(data: Mapping[str, Any]) -> Mapping[str, float]:
    """Return `logit_bias`: a number for each token id, which is a text.

    Raises:
        InvalidRequestError: `logit_bias` is not valid.
    """
    accepted = f"an object of token ids to numbers from -{_MAX_BIAS:g} to {_MAX_BIAS:g}"
    bias: dict[str, float] = {}
    for token, value in read_object(data, "logit_bias", accepted).items():
        number = to_number("logit_bias", value, accepted)
        is_id = token.isascii() and token.isdecimal() and len(token) <= _MAX_TOKEN_DIGITS
        if not is_id or not -_MAX_BIAS <= number <= _MAX_BIAS:
            raise InvalidRequestError(Problem("logit_bias", "is out of range", accepted))
        bias[token] = number
    return bias


def _read_stop(data: Mapping[str, Any]) -> tuple[str, ...]:
    value = data.get("stop")
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    accepted = f"a text, or a list of at most {MAX_STOPS} texts, none of them empty"
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise refuse("stop", value, accepted)
    if not all(isinstance(stop, str) and stop for stop in stops):  # white space is a sensible stop text
        raise InvalidRequestError(Problem("stop", "holds what is no text, or an empty one", accepted))
    return tuple(stops)


def _read_seed(data: Mapping[str, Any]) -> int | None:
    value, accepted = data.get("seed"), f"a whole number from 0 to {MAX_SEED}"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse("seed", value, accepted)
    if not 0 <= value <= MAX_SEED:
        raise InvalidRequestError(Problem("seed", "is out of range", accepted))
    return value
