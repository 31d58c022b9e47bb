"""What one router is at, as gauges: its breakers, limits, queues and budgets, and the models as it sees them."""

from collections.abc import Iterator, Mapping
from typing import Any

from deployments.execution.clock import loop_time
from deployments.observability import metric_table as table
from deployments.observability.key_metrics import OTHER, key_label
from deployments.observability.metric_table import Metric
from deployments.policy.budget import Budgets
from deployments.policy.serving_state import ServingState

_BREAKERS = {"closed": 0.0, "halfopen": 1.0, "open": 2.0}

_Gauge = tuple[Metric, tuple[str, ...], float]


def gauges_of(described: Mapping[str, Any], budgets: Budgets) -> Iterator[_Gauge]:
    """Return the gauges of a router, by what it says of itself and by its budgets."""
    yield table.REQUESTS_IN_FLIGHT, (), described["in_flight"]
    yield table.REQUESTS_WAITING, (), described["waiting"]
    yield table.DISCOVERY_AGE, (), described["discovery_age_s"]
    yield table.BACKUP_SOUND, (), float(described["canary"]["sound"])
    for budget, tokens in budgets.describe(loop_time()).items():
        yield table.BUDGET_TOKENS, (budget,), tokens
    for name, facts in described["models"].items():
        yield from _of_model(name, facts)
    yield from _of_model(described["backup_name"], described["backup"])
    yield from _of_keys(described["access"].get("used", {}))


def _of_model(name: str, facts: Mapping[str, Any]) -> Iterator[_Gauge]:
    yield table.MODEL_READY, (name,), float(ServingState.of(facts) in {ServingState.READY, ServingState.IDLE})
    for state, count in facts.get("replicas", {}).items():
        yield table.REPLICAS, (name, state), count
    yield table.BREAKER_STATE, (name,), _BREAKERS[facts["breaker"]]
    yield table.ATTEMPTS_IN_FLIGHT, (name,), facts["in_flight"]
    yield table.ATTEMPT_LIMIT, (name,), facts["limit"]


def _of_keys(used: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[_Gauge]:
    """Return how much of each limit is used. Keys that have no series of their own have none: they are not one key."""
    for name, limits in used.items():
        if (key := key_label(name)) != OTHER:
            for limit, facts in limits.items():
                yield table.KEY_LIMIT_USED, (key, limit), facts["used"] / facts["limit"]
