"""A router's gauges are those that the table of metrics has, and tell of every model."""

from typing import Any

import pytest

from deployments.observability import metric_table as table
from deployments.router.gauges import gauges_of
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import FakeCluster, Replica, application


@pytest.mark.looptime
async def test_the_gauges_of_a_router_tell_of_its_queues_its_budgets_and_each_model() -> None:
    backup: Any = Replica()
    remotes = {"hosted": {"base_url": "https://api.example.com/v1", "model": "x"}}
    router = Router(
        FakeCluster(a=application("a")), backup, "b", PolicySettings().with_overrides({"remotes": remotes}, {})
    )
    await router._registry.refresh()

    gauges = {
        (metric, labels): value for metric, labels, value in gauges_of(router.describe(), router._resilience.budgets)
    }

    assert {labels for metric, labels in gauges if metric is table.BREAKER_STATE} == {("a",), ("b",), ("hosted",)}
    assert gauges[table.MODEL_READY, ("a",)] == 1.0
    assert gauges[table.REPLICAS, ("a", "running")] == 1
    assert gauges[table.BUDGET_TOKENS, ("retries",)] == pytest.approx(1.0)
    assert gauges[table.REQUESTS_WAITING, ()] == 0
    assert all(len(metric.labels) == len(labels) for metric, labels in gauges)
