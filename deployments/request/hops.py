"""The hops of a request: the services of ours that it has passed through on its way here.

A remote model may be another service of ours, or lead to one. A request that comes back to a service that it has passed
through would go round, and each round would ask every candidate again.
"""

from collections.abc import Mapping

from deployments.policy.problem import InvalidRequestError, Problem

VIA_HEADER = "x-neverblank-via"
MOST_HOPS = 5
"""Services that a request may pass through; a chain that is longer is a loop, or a mistake."""

LOOP_STATUS, LOOP_CODE = 508, "loop_detected"
_LONGEST_ID = 64


def read_via(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids in `x-neverblank-via`, in the order of the hops; `headers` are by their names in lower case."""
    value = headers.get(VIA_HEADER, "")
    if not value:
        return ()
    ids = [part.strip()[:_LONGEST_ID] for part in value.split(",", MOST_HOPS + 1)]
    return tuple(each for each in ids if each)[: MOST_HOPS + 1]


def refuse_loops(via: tuple[str, ...], service_id: str) -> None:
    """Check that a request that has passed through `via` has not been here, and has not come too far.

    Raises:
        InvalidRequestError: it has, with the status 508: the fault of whoever configured the way, told to the service
            that sent it.
    """
    if service_id in via:
        message = "has passed through this service before"
    elif len(via) >= MOST_HOPS:
        message = f"has passed through {MOST_HOPS} services already"
    else:
        return
    raise InvalidRequestError(
        Problem(VIA_HEADER, message, "a request that does not come back", LOOP_STATUS, code=LOOP_CODE)
    )
