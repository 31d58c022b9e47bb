"""Scales the backup for the requests it has, and for those that are about to reach it.

Serve's own autoscaling sees a request once it waits at the backup. The routers see it before: an attempt that takes
longer than its model usually does will most likely be rescued by the backup, and when a model hangs, that is every
request for it, seconds before the first one reaches the backup.

    Router   report ──────────────────► Backup   DemandReports ────► Serve's controller   scale_ahead
             ResilienceState.demand              record_autoscaling_stats

Each router tells all replicas of the backup how many requests it has at the backup and how many are overdue elsewhere;
the replicas report the sum with their other measurements, and the policy asks for replicas for the larger of the two
views. Serve holds it to `replicas.min` and `.max`, and ends the surplus after `replicas.idle_seconds`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

EXPECTED_REQUESTS = "expected_requests"
"""The name under which a replica reports the requests that the routers expect."""

REPORT_INTERVAL_S = 0.5
"""Seconds between the reports of a router, while it expects anything."""

_FRESH_S = 5.0
"""A router that has not reported for this many seconds has gone, or expects nothing."""


async def report(demand: Callable[[], float], tell: Callable[[float], Awaitable[None]]) -> None:
    """Report the demand of this router for ever, every `REPORT_INTERVAL_S`; a demand of nothing is not reported.

    Args:
        demand: how many requests are at the backup or about to reach it.
        tell: takes the report to the backup.
    """
    while True:
        await asyncio.sleep(REPORT_INTERVAL_S)
        if expected := demand():
            await tell(expected)


class DemandReports:
    """The last report of each router, as one replica of the backup has heard them."""

    def __init__(self) -> None:
        """Begin without any report."""
        self._reports: dict[str, tuple[float, float]] = {}

    def hear(self, router: str, requests: float, now: float) -> None:
        """Note that `router` expects `requests` requests at a time; `now` is in seconds of any steady clock."""
        self._reports = {name: heard for name, heard in self._reports.items() if now - heard[0] <= _FRESH_S}
        self._reports[router] = (now, requests)

    def total(self, now: float) -> float:
        """Requests that all routers expect together, leaving out reports that are no longer fresh."""
        return sum(requests for at, requests in self._reports.values() if now - at <= _FRESH_S)


def scale_ahead(context: Any) -> tuple[int, dict[str, Any]]:
    """An autoscaling policy of Ray Serve, whose controller calls it every tenth of a second.

    Args:
        context: Serve's `AutoscalingContext` of the backup.

    Returns:
        Replicas that are wanted, before Serve applies its bounds and delays; and the state of the policy, which has
        none.
    """
    reported = [
        series[-1].value
        for series in (context.raw_metrics or {}).get(EXPECTED_REQUESTS, {}).values()
        if series and context.current_time - series[-1].timestamp <= _FRESH_S
    ]
    # Each replica has heard all routers: the largest report is the whole demand, heard by the oldest replica.
    requests = max([context.total_num_requests, *reported])
    return math.ceil(requests / context.config.target_ongoing_requests), {}
