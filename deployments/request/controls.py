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
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.hops import VIA_HEADER, read_via
from deployments.request.inference import ANY_TIER, InferenceRequest
from deployments.request.injected_faults import FAULT_HEADER, read_faults
from deployments.request.structs import does, read_struct

TIMEOUT_HEADER = "x-request-timeout-seconds"
HEADERS = {
    key: f"x-neverblank-{key}" for key in ("timeout", "fallback", "tiers", "hedge", "wait", "retry", "strict", "cache")
}
CONTINUE_HEADER = "x-neverblank-continue"
"""`true` in a request of another service of ours: the assistant's message at its end is to be carried on with."""

_TIERS = {"primary": Tier.PRIMARY, "backup": Tier.BACKUP}
_TIERS_ACCEPTED = f"a list with at least one of: {', '.join(_TIERS)}"

MIN_TIMEOUT_S = 0.001
"""The shortest deadline: a shorter one would be over before a clock could show it."""


class Controls(Struct, frozen=True):
    """The controls of a body; `None` leaves one to the headers."""

    timeout: Annotated[
        Annotated[float, Meta(ge=MIN_TIMEOUT_S)] | None,
        does("The deadline in seconds; of a stream, that of its first content. Also `x-neverblank-timeout`."),
    ] = None
    tiers: Annotated[
        Annotated[list[Literal["primary", "backup"]], Meta(min_length=1)] | None,
        does("The tiers that may be asked. Also `x-neverblank-tiers`.", accepted=_TIERS_ACCEPTED),
    ] = None
    fallback: Annotated[
        bool | None, does("False: no model but the one asked for may answer. Also `x-neverblank-fallback`.")
    ] = None
    hedge: Annotated[
        bool | None, does("False: nobody is started beside a model for being slow. Also `x-neverblank-hedge`.")
    ] = None
    wait: Annotated[
        bool | None,
        does("False: the last resort at once, where a model will be ready soon. Also `x-neverblank-wait`."),
    ] = None
    strict: Annotated[
        bool | None, does("True: a model that lacks a feature of the request is not asked. Also `x-neverblank-strict`.")
    ] = None


CONTROL_KEYS = frozenset(Controls.__struct_fields__)
CONTROL_HEADERS = frozenset({TIMEOUT_HEADER, VIA_HEADER, FAULT_HEADER, *HEADERS.values()})
"""All headers that are read."""

NO_HEADERS: Mapping[str, str] = {}

_NOTHING_SAID = Controls()
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
    sent = _read_body(data, limits)
    fallback_field, fallback = _read_flag(sent.fallback, headers, "fallback")
    tiers = _read_tiers(sent, headers)
    if not fallback and Tier.PRIMARY not in tiers:
        message = "is false, while tiers leaves out the model asked for"
        raise InvalidRequestError(Problem(fallback_field, message, "only one of the two, or primary among the tiers"))
    return replace(
        request,
        timeout_s=_read_timeout(sent, headers, limits),
        tiers=tiers,
        fallback=fallback,
        hedge=_read_flag(sent.hedge, headers, "hedge")[1],
        wait=_read_flag(sent.wait, headers, "wait")[1],
        retry=_read_flag(None, headers, "retry")[1],
        via=read_via(headers),
        strict=_read_flag(sent.strict, headers, "strict", unless_sent=False)[1],
        cache=_read_flag(None, headers, "cache")[1],
        faults=read_faults(headers, allowed=limits.drills),
    )


def read_timeout(data: Mapping[str, Any], headers: Mapping[str, str], limits: Limits) -> float:
    """Return the deadline in seconds that a body and `headers` ask for, for what has to be done before they are read.

    Raises:
        InvalidRequestError: it, or another control in the body, is not valid.
    """
    return _read_timeout(_read_body(data, limits), headers, limits)


def _read_body(data: Mapping[str, Any], limits: Limits) -> Controls:
    if data.keys().isdisjoint(CONTROL_KEYS):
        return _NOTHING_SAID
    try:
        return read_struct(data, Controls)
    except InvalidRequestError as error:
        if error.problem.field == "timeout":  # its longest is the policy's
            raise InvalidRequestError(replace(error.problem, accepted=_seconds(limits))) from None
        raise


def _seconds(limits: Limits) -> str:
    return f"seconds, from {MIN_TIMEOUT_S:g} to {limits.max_timeout_s:g}"


def _read_timeout(sent: Controls, headers: Mapping[str, str], limits: Limits) -> float:
    accepted = _seconds(limits)
    if sent.timeout is not None:
        return _in_range("timeout", sent.timeout, limits, accepted)
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
    sent: bool | None,  # noqa: FBT001 - a flag that was sent
    headers: Mapping[str, str],
    key: str,
    *,
    unless_sent: bool = True,
) -> tuple[str, bool]:
    """Return the key or header that held the flag, and the flag; `unless_sent` where it was not sent."""
    if sent is not None:
        return key, sent
    name = HEADERS[key]
    if (text := headers.get(name, "")) == "":
        return key, unless_sent
    if text.strip().lower() not in _FLAGS:
        raise InvalidRequestError(Problem(name, "is neither", "true or false"))
    return name, _FLAGS[text.strip().lower()]


def _read_tiers(sent: Controls, headers: Mapping[str, str]) -> frozenset[Tier]:
    if sent.tiers is not None:
        return frozenset(_TIERS[tier] for tier in sent.tiers)
    field = HEADERS["tiers"]
    if headers.get(field, "") == "":
        return ANY_TIER
    told = [tier.strip().lower() for tier in headers[field].split(",")]
    if not all(tier in _TIERS for tier in told):
        raise InvalidRequestError(Problem(field, "is not a list of tiers", _TIERS_ACCEPTED))
    return frozenset(_TIERS[tier] for tier in told)
