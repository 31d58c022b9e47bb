"""What is counted of each key: its requests by their ends, its tokens and money, and how much of its limits is used."""

from collections.abc import Iterator

import pytest

from deployments.observability import key_metrics, metric_table
from deployments.observability.metrics import drain_counts
from deployments.policy.outcome import Failed
from deployments.router.gauges import gauges_of
from tests.router.locked import Lock


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    drain_counts()
    monkeypatch.setattr(key_metrics, "_names", set[str]())
    yield
    drain_counts()


async def test_the_requests_of_a_key_are_counted_by_their_ends_with_what_they_took(lock: Lock) -> None:
    locked = lock({"k": {"models": ["b"], "requests_per_minute": 1}, "free": {}}, prices={"b": {"output": 1e6}})
    for key, model in (("k", "a"), ("k", "b"), ("k", "b"), ("", "b"), ("free", "b")):
        await locked.ask(key, model=model)
    locked.keys["free"] = locked.keys["free"][:-1]
    await locked.ask("free", model="b")

    counted = drain_counts().counted

    assert {labels: count for (metric, labels), count in counted.items() if metric is metric_table.KEY_REQUESTS} == {
        ("k", "answered"): 1,
        ("k", "rate_limit_exceeded"): 1,
        ("k", "permission_denied"): 1,
        ("(none)", "missing_api_key"): 1,
        ("(none)", "invalid_api_key"): 1,
        ("free", "answered"): 1,
    }
    assert counted[metric_table.KEY_TOKENS, ("k",)] == counted[metric_table.KEY_TOKENS, ("free",)] == 30
    assert counted[metric_table.KEY_MONEY, ("k",)] == pytest.approx(20)


async def test_an_answer_that_no_model_has_written_is_counted_and_takes_nothing(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a"], "tiers": ["primary"]}})
    locked.models["a"].outcome = Failed("it broke")
    await locked.ask(model="a")

    counted = drain_counts().counted

    assert counted[metric_table.KEY_REQUESTS, ("k", "answered")] == 1
    assert (metric_table.KEY_TOKENS, ("k",)) not in counted


async def test_the_gauges_tell_how_much_of_each_limit_is_used(lock: Lock) -> None:
    locked = lock({"k": {"requests_per_minute": 4, "tokens_per_day": 120}, "free": {}})
    await locked.ask(model="b")

    gauges = gauges_of(locked.router.describe(), locked.router._resilience.budgets)

    used = {labels: value for metric, labels, value in gauges if metric is metric_table.KEY_LIMIT_USED}
    assert used == {("k", "requests_per_minute"): 0.25, ("k", "tokens_per_day"): 0.25}


async def test_keys_beyond_the_bound_count_together_and_have_no_gauge(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_metrics, "MOST_NAMES", 1)
    locked = lock({name: {"requests_per_minute": 9} for name in ("first", "second", "third")})
    for key in ("first", "second", "third", "first"):
        await locked.ask(key, model="b")

    counted = drain_counts().counted
    gauges = gauges_of(locked.router.describe(), locked.router._resilience.budgets)

    assert counted[metric_table.KEY_REQUESTS, ("first", "answered")] == 2
    assert counted[metric_table.KEY_REQUESTS, ("(other)", "answered")] == 2
    assert [labels for metric, labels, _ in gauges if metric is metric_table.KEY_LIMIT_USED] == [
        ("first", "requests_per_minute")
    ]
