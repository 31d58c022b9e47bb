"""How many replicas the backup gets."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.outcome import Answered, Failed
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.terms import ANY_TERMS, Terms
from deployments.ray_serve.autoscaling import EXPECTED_REQUESTS, REPORT_INTERVAL_S, DemandReports, report, scale_ahead
from deployments.ray_serve.options import backup_options
from deployments.replica.backup import BackupReplica
from deployments.settings import Replicas, ServingSpec


def context(*reported: tuple[float, float], requests: float = 0.0) -> Any:
    """What Serve tells of a backup for 4 requests a replica at 100 s, with the (time, expected) of each replica."""
    series = {f"replica{n}": [SimpleNamespace(timestamp=at, value=value)] for n, (at, value) in enumerate(reported)}
    return SimpleNamespace(
        current_time=100.0,
        total_num_requests=requests,
        raw_metrics={EXPECTED_REQUESTS: series},
        config=SimpleNamespace(target_ongoing_requests=4),
    )


@pytest.mark.parametrize(
    ("reported", "requests", "replicas"),
    [
        ([], 0.0, 0),
        ([(100.0, 3.0)], 0.0, 1),
        ([(99.0, 9.0), (100.0, 3.0)], 0.0, 3),
        ([(100.0, 3.0)], 17.0, 5),
        ([(90.0, 500.0)], 5.0, 2),
    ],
    ids=["nothing", "expected", "the one that heard most", "the queue is longer", "the report is old"],
)
def test_replicas_are_wanted_for_the_larger_of_what_is_expected_and_what_is_there(
    reported: list[tuple[float, float]], requests: float, replicas: int
) -> None:
    assert scale_ahead(context(*reported, requests=requests)) == (replicas, {})


def test_what_the_routers_expect_is_summed_and_forgotten_when_they_fall_silent() -> None:
    heard = DemandReports()
    heard.hear("a", 3.0, 10.0)
    heard.hear("b", 2.0, 12.0)
    heard.hear("a", 4.0, 12.0)

    assert heard.total(12.0) == 6.0
    heard.hear("b", 1.0, 16.0)
    assert heard.total(18.0) == 1.0


@pytest.mark.looptime
async def test_a_router_reports_while_it_expects_anything_and_is_silent_otherwise() -> None:
    demands, told = [2.0, 0.0, 3.0, 0.0], list[tuple[float, float]]()
    now = asyncio.get_running_loop().time
    began = now()

    async def tell(requests: float) -> None:
        told.append((round(now() - began, 3), requests))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4.5 * REPORT_INTERVAL_S):
            await report(demands.pop, tell)

    assert told == [(2 * REPORT_INTERVAL_S, 3.0), (4 * REPORT_INTERVAL_S, 2.0)]


async def test_a_replica_of_the_backup_reports_to_serve_what_it_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = BackupReplica.__new__(BackupReplica)
    monkeypatch.setattr(replica, "_expected", DemandReports(), raising=False)
    await replica.expect("a", 7.0)

    assert await replica.record_autoscaling_stats() == {EXPECTED_REQUESTS: 7.0}


def test_a_backup_that_may_have_several_replicas_is_scaled_ahead_and_at_once() -> None:
    several = backup_options(ServingSpec(replicas=Replicas(min=1, max=3)), "digest")["autoscaling_config"]

    assert several["policy"] == {"policy_function": "deployments.ray_serve.autoscaling:scale_ahead"}
    assert several["upscale_delay_s"] == 0
    assert "autoscaling_config" not in backup_options(ServingSpec(), "digest")


BACKED = Candidate(Tier.BACKUP, "backup")
PRIMARY = Candidate(Tier.PRIMARY, "model")


def resilience() -> ResilienceState:
    return ResilienceState(ResiliencePolicy(), lambda *_: None, "backup")


def begun(of: ResilienceState, candidate: Candidate, now: float) -> Permit:
    permit = of.admit(candidate, Why.NEXT, now, ANY_TERMS, direct=False)
    assert isinstance(permit, Permit)
    return permit


def test_the_demand_is_what_the_backup_does_and_what_is_overdue_elsewhere() -> None:
    known = resilience()
    for _ in range(30):
        known.record(begun(known, PRIMARY, 0.0), Answered("x"), 0.4)
    working, late, fresh = begun(known, BACKED, 10.0), begun(known, PRIMARY, 9.0), begun(known, PRIMARY, 9.9)

    assert known.demand(10.0) == 2
    assert known.demand(10.4) == 3
    for permit in (working, late, fresh):
        known.record(permit, Failed("x"), 10.5)
    assert known.demand(11.0) == 0


def test_a_stream_that_has_begun_is_not_overdue_and_an_unknown_model_is_after_a_second() -> None:
    known = resilience()
    stream = known.admit(PRIMARY, Why.NEXT, 0.0, Terms(streamed=True), direct=True)
    assert isinstance(stream, Permit)

    assert (known.demand(1.0), known.demand(1.1)) == (0, 1)
    known.began(stream, 1.2)
    assert known.demand(9.0) == 0
