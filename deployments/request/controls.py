"""The controls of a request, with which a caller says how it is served. A key in the body overrides its header.

    timeout     x-neverblank-timeout, x-request-timeout-seconds     the deadline in seconds
    fallback    x-neverblank-fallback       false: only the model asked for, then the last resort
    tiers       x-neverblank-tiers          the tiers that may be asked; separated by commas in the header
    hedge       x-neverblank-hedge          false: the backup is not started beside a slow model
    wait        x-neverblank-wait           false: the last resort at once where no model is ready
                x-neverblank-retry          false: no model is asked again
                x-neverblank-via            the services that the request has passed through: see `hops`
    strict      x-neverblank-strict         true: a model that cannot do all that is asked is not asked
                x-neverblank-cache          false: no earlier answer is given, and this one is not kept
                x-neverblank-fault          faults to inject, where the policy allows drills: see `injected_faults`

An error names the key or the header that was read.
"""

import math
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.fields import refuse, to_number
from deployments.request.hops import VIA_HEADER, read_via
from deployments.request.inference import ANY_TIER, InferenceRequest
from deployments.request.injected_faults import FAULT_HEADER, read_faults

TIMEOUT_HEADER = "x-request-timeout-seconds"
HEADERS = {
    key: f"x-neverblank-{key}" for key in ("timeout", "fallback", "tiers", "hedge", "wait", "retry", "strict", "cache")
}
CONTINUE_HEADER = "x-neverblank-continue"
"""`true` in a request of another service of ours: the assistant's message at its end is to be carried on with."""

MIN_TIMEOUT_S = 0.001
"""The shortest deadline: a shorter one would be over before a clock could show it."""

CONTROL_KEYS = frozenset(HEADERS) - {"retry", "cache"}
CONTROL_HEADERS = frozenset({TIMEOUT_HEADER, VIA_HEADER, FAULT_HEADER, *HEADERS.values()})
"""All headers that are read."""

NO_HEADERS: Mapping[str, str] = {}

_TIERS = {"primary": Tier.PRIMARY, "backup": Tier.BACKUP}
_FLAGS = {"true": True, "false": False}


def with_controls(
    request: InferenceRequest, data: Mapping[str, Any], headers: Mapping[str, str], limits: Limits
) -> InferenceRequest:
    """Return `request` with the controls in a body and in `headers`, which are by their names in lower case.

    Raises:
        InvalidRequestError: a control is not valid, or two contradict each other.
    """
    if data.keys().isdisjoint(CONTROL_KEYS) and headers.keys().isdisjoint(CONTROL_HEADERS):
        return request
    fallback_field, fallback = _read_flag(data, headers, "fallback")
    tiers = _read_tiers(data, headers)
    if not fallback and Tier.PRIMARY not in tiers:
        message = "is false, while tiers leaves out the model asked for"
        raise InvalidRequestError(Problem(fallback_field, message, "only one of the two, or primary among the tiers"))
    return replace(
        request,
        timeout_s=_read_timeout(data, headers, limits),
        tiers=tiers,
        fallback=fallback,
        hedge=_read_flag(data, headers, "hedge")[1],
        wait=_read_flag(data, headers, "wait")[1],
        retry=_read_flag({}, headers, "retry")[1],
        via=read_via(headers),
        strict=_read_flag(data, headers, "strict", unless_sent=False)[1],
        cache=_read_flag({}, headers, "cache")[1],
        faults=read_faults(headers, allowed=limits.drills),
    )


def _read_timeout(data: Mapping[str, Any], headers: Mapping[str, str], limits: Limits) -> float:
    accepted = f"seconds, from {MIN_TIMEOUT_S:g} to {limits.max_timeout_s:g}"
    if data.get("timeout") is not None:
        return _in_range("timeout", to_number("timeout", data["timeout"], accepted), limits, accepted)
    # A service that passes a request on may have longer deadlines: there this one's longest is meant.
    most = limits.max_timeout_s if VIA_HEADER in headers else math.inf
    found = {
        name: _in_range(name, min(most, _parse(name, headers[name], accepted)), limits, accepted)
        for name in (TIMEOUT_HEADER, HEADERS["timeout"])
        if headers.get(name, "") != ""
    }
    if len(set(found.values())) > 1:
        names = " and ".join(found)
        raise InvalidRequestError(Problem(names, "differ", "the same number of seconds in both, or only one of them"))
    return next(iter(found.values()), limits.timeout_s)


def _parse(name: str, value: str, accepted: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InvalidRequestError(Problem(name, "is not a number", accepted)) from error


def _in_range(field: str, seconds: float, limits: Limits, accepted: str) -> float:
    if not MIN_TIMEOUT_S <= seconds <= limits.max_timeout_s:  # false for NaN, too
        raise InvalidRequestError(Problem(field, "is out of range", accepted))
    return seconds


def _read_flag(
    data: Mapping[str, Any], headers: Mapping[str, str], key: str, *, unless_sent: bool = True
) -> tuple[str, bool]:
    """Return the key or header that held the flag, and the flag; `unless_sent` where it was not sent."""
    if (value := data.get(key)) is not None:
        if not isinstance(value, bool):
            raise refuse(key, value, "true or false")
        return key, value
    name = HEADERS[key]
    if (text := headers.get(name, "")) == "":
        return key, unless_sent
    if text.strip().lower() not in _FLAGS:
        raise InvalidRequestError(Problem(name, "is neither", "true or false"))
    return name, _FLAGS[text.strip().lower()]


def _read_tiers(data: Mapping[str, Any], headers: Mapping[str, str]) -> frozenset[Tier]:
    field, value = "tiers", data.get("tiers")
    if value is None and headers.get(HEADERS["tiers"], "") != "":
        field = HEADERS["tiers"]
        value = [tier.strip().lower() for tier in headers[field].split(",")]
    if value is None:
        return ANY_TIER
    if not isinstance(value, list) or not value or not all(isinstance(tier, str) and tier in _TIERS for tier in value):
        accepted = f"a list with at least one of: {', '.join(_TIERS)}"
        raise InvalidRequestError(Problem(field, "is not a list of tiers", accepted))
    return frozenset(_TIERS[tier] for tier in value)
