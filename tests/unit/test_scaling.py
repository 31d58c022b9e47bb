"""How many replicas the backup gets."""

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.policy.answer import Candidate, Tier, Why
from deployments.policy.guard import Guard, GuardPolicy, Permit
from deployments.policy.outcome import Answered, Failed
from deployments.scaling import DEMAND, scale_ahead

ROUTER, BACKUP = "router's id", "backup's id"


def context(name: str, now: float, *, target: int, low: int, high: int, state: Any = None, **more: Any) -> Any:
    facts = {
        "deployment_name": name,
        "current_time": now,
        "target_num_replicas": target,
        "capacity_adjusted_min_replicas": low,
        "capacity_adjusted_max_replicas": high,
        "policy_state": state or {},
        "total_num_requests": 0.0,
        "raw_metrics": {},
        "config": SimpleNamespace(target_ongoing_requests=4, downscale_delay_s=60.0),
    }
    return SimpleNamespace(**{**facts, **more})


def decided(
    *reported: tuple[float, float], requests: float = 0.0, target: int = 1, state: Any = None, now: float = 100.0
) -> tuple[int, Any]:
    """The backup's replicas, between 1 and 5, and what is remembered, with a router for each (time, demand)."""
    series = {f"router{n}": [SimpleNamespace(timestamp=at, value=demand)] for n, (at, demand) in enumerate(reported)}
    contexts = {
        ROUTER: context("Router", now, target=2, low=2, high=2, raw_metrics={DEMAND: series}),
        BACKUP: context("Backup", now, target=target, low=1, high=5, state=state, total_num_requests=requests),
    }
    replicas, states = scale_ahead(contexts)
    assert replicas[ROUTER] == 2
    return replicas[BACKUP], states[BACKUP]


@pytest.mark.parametrize(
    ("reported", "requests", "replicas"),
    [
        ([], 0.0, 1),
        ([(100.0, 3.0)], 0.0, 1),
        ([(100.0, 3.0), (99.0, 6.0)], 0.0, 3),
        ([(100.0, 3.0)], 17.0, 5),
        ([(100.0, 500.0)], 0.0, 5),
        ([(90.0, 500.0)], 0.0, 1),
    ],
)
def test_the_larger_of_demand_and_queue_is_met_at_once_within_bounds(
    reported: list[tuple[float, float]], requests: float, replicas: int
) -> None:
    assert decided(*reported, requests=requests)[0] == replicas


def test_what_is_too_many_goes_after_the_delay_and_not_before() -> None:
    kept, state = decided(target=3, now=100.0)
    assert kept == 3
    kept, state = decided(target=3, now=159.0, state=state)
    assert kept == 3
    assert decided(target=3, now=160.0, state=state)[0] == 1


def test_a_demand_in_between_starts_the_delay_again() -> None:
    _, state = decided(target=3, now=100.0)
    _, state = decided((130.0, 12.0), target=3, now=130.0, state=state)

    assert decided(target=3, now=161.0, state=state)[0] == 3


BACKED = Candidate(Tier.BACKUP, "backup")
PRIMARY = Candidate(Tier.PRIMARY, "model")


def guard() -> Guard:
    return Guard(GuardPolicy(), lambda *_: None, "backup")


def begun(of: Guard, candidate: Candidate, now: float) -> Permit:
    permit = of.admit(candidate, Why.NEXT, now, direct=False, streamed=False)
    assert isinstance(permit, Permit)
    return permit


def test_the_demand_is_what_the_backup_does_and_what_is_overdue_elsewhere() -> None:
    known = guard()
    for _ in range(30):
        known.record(begun(known, PRIMARY, 0.0), Answered("x"), 0.4)
    working, late, fresh = begun(known, BACKED, 10.0), begun(known, PRIMARY, 9.0), begun(known, PRIMARY, 9.9)

    assert known.demand(10.0) == 2
    assert known.demand(10.4) == 3
    for permit in (working, late, fresh):
        known.record(permit, Failed("x"), 10.5)
    assert known.demand(11.0) == 0


def test_a_stream_that_has_begun_is_not_overdue_and_an_unknown_model_is_after_a_second() -> None:
    known = guard()
    stream = known.admit(PRIMARY, Why.NEXT, 0.0, direct=True, streamed=True)
    assert isinstance(stream, Permit)

    assert (known.demand(1.0), known.demand(1.1)) == (0, 1)
    known.began(stream, 1.2)
    assert known.demand(9.0) == 0
