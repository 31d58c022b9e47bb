"""How many replicas the backup gets: for what it does, and for what is about to land on it.

Serve's own autoscaling sees a request once it waits at the backup. The routers see it before: an attempt that takes
longer than its model usually does will most likely be rescued by the backup, and when a model hangs, that is every
request for it, seconds before the first one arrives there. Each router reports as its demand what is under way at the
backup and what is overdue elsewhere (`Guard.demand`); the policy asks for replicas for the larger of the two views, at
once. When the primaries are well again the surplus goes after the backup's `replicas.idle_seconds`.

The policy runs inside Serve's controller, every tenth of a second: no I/O, and nothing that grows.
"""

import math
from collections.abc import Mapping
from typing import Any

DEMAND = "backup_demand"
"""The name under which a router reports its demand."""

_FRESH_S = 5.0
"""A router that has not reported for so long has gone."""

_LOW_SINCE = "low_since"


def scale_ahead(contexts: Mapping[Any, Any]) -> tuple[dict[Any, int], dict[Any, dict[str, Any]]]:
    """An application-level autoscaling policy of Ray Serve.

    Args:
        contexts: Serve's `AutoscalingContext` of the router and of the backup, by deployment.

    Returns:
        The replicas of each deployment, and what is to be remembered until the next time.
    """
    replicas: dict[Any, int] = {}
    states: dict[Any, dict[str, Any]] = {}
    for deployment, context in contexts.items():
        if context.config is not None and context.deployment_name == "Backup":
            replicas[deployment], states[deployment] = _backup(context, _demand(contexts, context.current_time))
        else:
            replicas[deployment] = context.capacity_adjusted_min_replicas
            states[deployment] = {}
    return replicas, states


def _demand(contexts: Mapping[Any, Any], now: float) -> float:
    """What all routers last reported."""
    reported = [
        series[-1]
        for context in contexts.values()
        for series in (context.raw_metrics or {}).get(DEMAND, {}).values()
        if series
    ]
    return float(sum(sample.value for sample in reported if now - sample.timestamp <= _FRESH_S))


def _backup(context: Any, demand: float) -> tuple[int, dict[str, Any]]:
    wanted = math.ceil(max(demand, context.total_num_requests) / context.config.target_ongoing_requests)
    low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    wanted = min(high, max(low, wanted))
    if wanted >= context.target_num_replicas:
        return wanted, {}
    low_since = float(context.policy_state.get(_LOW_SINCE, context.current_time))
    if context.current_time - low_since >= context.config.downscale_delay_s:
        return wanted, {}
    return context.target_num_replicas, {_LOW_SINCE: low_since}
