"""Which replica of a deployment Serve sends a request to, where a replica can be there and not take requests.

Serve prefers the replica with the fewest requests under way. One whose server has crashed and is started again has
none, so it would draw all requests, and refuse them. Serve's controller asks each replica once a second for
`record_routing_stats` and tells every handle: a replica that says it loads is passed over while another one takes
requests. Within that second, and where all of them load, requests come to it, and wait there for a moment.
"""

import random
from collections.abc import Mapping
from typing import Any

from ray.serve._private.request_router import PowerOfTwoChoicesRequestRouter
from ray.serve.request_router import PendingRequest, RunningReplica

from deployments.policy.serving_state import ServingState

READY_FIRST: Mapping[str, Any] = {
    "request_router_class": f"{__name__}:ReadyFirstRouter",
    "request_routing_stats_period_s": 1.0,
}
"""The `request_router_config` of a deployment whose replicas may load again."""


class ReadyFirstRouter(PowerOfTwoChoicesRequestRouter):  # type: ignore[misc]  # Serve's own classes have no types
    """Chooses as Serve does, but among the replicas that take requests where some do not."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return two replicas to choose from; Serve takes the one with fewer requests under way."""
        ready = [replica for replica in candidate_replicas if takes_requests(replica.routing_stats)]
        if not ready or len(ready) == len(candidate_replicas):
            chosen: list[list[RunningReplica]] = await super().choose_replicas(candidate_replicas, pending_request)
            return chosen
        return [random.sample(ready, min(2, len(ready)))]


class Door:
    """The deployment of an application that HTTP requests would go to, if any did; it does nothing.

    Serve takes no request router for that one. So the deployment with the model stands behind it.
    """

    def __init__(self, model: object) -> None:
        """Have `model`, the handle of the deployment behind it."""
        self.model = model


def takes_requests(stats: Mapping[str, Any]) -> bool:
    """Return whether a replica with these routing stats takes requests; it has none while it does."""
    return bool(stats.get("state", ServingState.READY) == ServingState.READY)
