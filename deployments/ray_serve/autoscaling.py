"""How many replicas the backup gets: for what it does, and for what is about to land on it.

Serve's own autoscaling sees a request once it waits at the backup. The routers see it before: an attempt that takes
longer than its model usually does will most likely be rescued by the backup, and when a model hangs, that is every
request for it, seconds before the first one arrives there.

    Router   report ──────► Backup   Expected ──────► Serve's controller   scale_ahead
             ResilienceState.demand            record_autoscaling_stats

Each router tells all replicas of the backup what is under way there and what is overdue elsewhere; the replicas report
the sum with their other measurements, and the policy asks for replicas for the larger of the two views. Serve holds it
to `replicas.min` and `.max`, and ends the surplus after `replicas.idle_seconds`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

EXPECTED = "expected_requests"
"""The name under which a replica reports what the routers expect."""

INTERVAL_S = 0.5
"""Seconds between the reports of a router, while it expects anything."""

_FRESH_S = 5.0
"""A router that has not reported for so long has gone, or expects nothing."""


async def report(demand: Callable[[], float], tell: Callable[[float], Awaitable[None]]) -> None:
    """Tell the backup what this router expects of it, for ever; while that is nothing, nothing is sent."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        if expected := demand():
            await tell(expected)


class Expected:
    """What the routers last said that they expect, as one replica of the backup heard it."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}

    def hear(self, router: str, requests: float, now: float) -> None:
        """Note that `router` expects so many requests at a time."""
        self._heard = {name: heard for name, heard in self._heard.items() if now - heard[0] <= _FRESH_S}
        self._heard[router] = (now, requests)

    def total(self, now: float) -> float:
        """Requests that all routers expect together."""
        return sum(requests for at, requests in self._heard.values() if now - at <= _FRESH_S)


def scale_ahead(context: Any) -> tuple[int, dict[str, Any]]:
    """An autoscaling policy of Ray Serve; its controller calls this every tenth of a second.

    Args:
        context: Serve's `AutoscalingContext` of the backup.

    Returns:
        Replicas that are wanted, before Serve applies its bounds and delays, and the policy's state: there is none.
    """
    reported = [
        series[-1].value
        for series in (context.raw_metrics or {}).get(EXPECTED, {}).values()
        if series and context.current_time - series[-1].timestamp <= _FRESH_S
    ]
    # Each replica has heard all routers: the largest is the whole, seen by the one that was there the longest.
    requests = max([context.total_num_requests, *reported])
    return math.ceil(requests / context.config.target_ongoing_requests), {}
