"""What travels with a request to a remote, which may be a service of ours: where it has been, how long it may take.

    x-neverblank-via        the ids of the services that it has passed through; each hop adds its own
    x-neverblank-timeout    the seconds that are left
    x-neverblank-continue   `true` where the text at the end of the messages is to be carried on with
    traceparent, tracestate the span of the attempt, where the request is traced
    x-neverblank-hedge, x-neverblank-retry    `false`: who sends it retries and hedges already

A service that finds its own id in `via` refuses the request: it would go round for ever. See `request.hops`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from deployments.policy.attempt import Tier
from deployments.policy.outcome import Refused
from deployments.request import InferenceRequest
from deployments.request.controls import CONTINUE_HEADER, HEADERS, MIN_TIMEOUT_S
from deployments.request.hops import VIA_HEADER
from deployments.upstream.waits import wait_of_headers

NO_ANSWER = "none of its models has an answer"
"""The reason of the refusal of a service of ours that had nothing but its last resort."""

_PROCESS_ID = uuid4().hex
_TIMEOUT, _HEDGE, _RETRY = HEADERS["timeout"], HEADERS["hedge"], HEADERS["retry"]


def process_id() -> str:
    """Return an id of this process, where it is no part of a service."""
    return _PROCESS_ID


def passage_headers(request: InferenceRequest, service_id: str, budget_s: float) -> dict[str, str]:
    """Return the headers of an attempt of at most `budget_s` seconds, made by the service with the id `service_id`."""
    seconds = min(request.timeout_s, budget_s)
    headers = {
        VIA_HEADER: ", ".join((*request.via, service_id)) if request.via else service_id,
        _TIMEOUT: f"{max(MIN_TIMEOUT_S, seconds):.3f}",
        _HEDGE: "false",
        _RETRY: "false",
    }
    if request.prefix:
        headers[CONTINUE_HEADER] = "true"
    if request.trace is not None:
        headers |= request.trace.headers()
    return headers


def is_last_resort(body: Mapping[str, Any]) -> bool:
    """Return whether a body, or an event, says that a service of ours had nothing but its last resort."""
    told = body.get("neverblank")
    return isinstance(told, dict) and told.get("served_by") == Tier.LAST_RESORT.value


def no_answer_of_ours(headers: Mapping[str, str]) -> Refused | None:
    """Return the refusal of a service of ours that had no answer but its last resort; `None` for any other response."""
    if headers.get(SERVED_BY_HEADER) != Tier.LAST_RESORT.value:
        return None
    wait_s = wait_of_headers({"retry-after": headers.get("retry-after", "")}, limited=False)
    return Refused(NO_ANSWER, retry_after_s=wait_s)


SERVED_BY_HEADER = "x-neverblank-served-by"
