"""What a router remembers of its models: budgets, latencies, breakers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import BreakerPolicy, Closed, Open
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.deadline import ReservePolicy
from deployments.policy.hedging import HedgingPolicy
from deployments.policy.outcome import Answered, Blank, Failed, Refused, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy
from deployments.policy.retry import RetryPolicy
from tests.policy.states import BACKUP, REMOTE_BACKUP, Told, a_guard, admit, attempt

# --- breakers ---------------------------------------------------------------------------------------


def test_a_listener_hears_of_every_transition_with_the_reason_of_its_attempt() -> None:
    told = Told()
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=2, open_seconds=10.0)), told)

    attempt(resilience, Failed("first"), 0.0, 0.0)
    attempt(resilience, Failed("second"), 0.0, 0.0)
    attempt(resilience, Answered("x"), 10.0, 10.0)

    assert told == [
        ("a", "Closed", "Open", "second"),
        ("a", "Open", "HalfOpen", "probing"),
        ("a", "HalfOpen", "Closed", ""),
    ]


def test_every_model_has_a_breaker_of_its_own() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1)))

    attempt(resilience, Failed("boom"), 0.0, 0.0)

    assert isinstance(resilience.state("a"), Open)
    assert resilience.state("b") == Closed()


def test_the_local_backup_is_never_refused_for_its_failures() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1)))

    for now in range(30):
        attempt(resilience, Failed("boom"), float(now), float(now), BACKUP)


def test_a_remote_backup_has_somebody_behind_it_and_therefore_a_breaker() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1)))

    attempt(resilience, Failed("boom"), 0.0, 0.0, REMOTE_BACKUP)

    assert isinstance(admit(resilience, REMOTE_BACKUP), Refused)


def test_a_permit_is_handed_back_once() -> None:
    resilience = a_guard()
    permit = admit(resilience)
    assert isinstance(permit, Permit)
    resilience.record(permit, Answered("x"), 1.0)

    with pytest.raises(ValueError, match="handed back"):
        resilience.record(permit, Answered("x"), 1.0)


def test_a_permit_has_an_infinite_first_content_time_until_its_first_content() -> None:
    resilience = a_guard()
    permit = admit(resilience)
    assert isinstance(permit, Permit)
    before = permit.first_s

    resilience.began(permit, 2.0)

    assert (before, permit.first_s) == (math.inf, 2.0)


def test_a_new_policy_holds_for_what_is_known_already() -> None:
    resilience = a_guard()
    attempt(resilience, Answered("x"), 0.0, 1.0)

    resilience.policy = ResiliencePolicy(limits=LimitPolicy(max_limit=7), retries=RetryPolicy(budget_share=0.0))

    assert resilience.describe("a")["limit"] == 7
    assert not resilience.allowance(1e6).retry


def test_names_that_nobody_goes_by_are_not_remembered() -> None:
    resilience = a_guard()

    for number in range(1000):
        attempt(resilience, Refused("unknown model"), 0.0, 0.0, Candidate(Tier.PRIMARY, f"made-up-{number}"))

    assert resilience._models == {}


# --- budgets ----------------------------------------------------------------------------------------


@given(st.integers(100, 2000), st.floats(0.01, 0.5))
def test_retries_stay_a_share_of_the_requests_however_many_would_be_wanted(requests: int, share: float) -> None:
    resilience = a_guard(
        ResiliencePolicy(
            BreakerPolicy(failures=10**9, window_min_attempts=10**9), retries=RetryPolicy(budget_share=share)
        )
    )
    retries = 0
    for number in range(requests):
        now = number / 1000
        resilience.begin(now)
        while resilience.allowance(now).retry:
            permit = admit(resilience, why=Why.RETRY, now=now)
            assert isinstance(permit, Permit)
            resilience.record(permit, Failed("reset", transient=True), now)
            retries += 1

    assert retries <= share * requests + 12


def test_hedges_have_a_budget_of_their_own() -> None:
    resilience = a_guard(ResiliencePolicy(hedging=HedgingPolicy(budget_share=0.05)))
    permit = admit(resilience, why=Why.HEDGE)
    assert isinstance(permit, Permit)

    assert not resilience.allowance(0.0).hedge
    assert resilience.allowance(0.0).retry


def test_a_budget_of_nothing_allows_nothing() -> None:
    resilience = a_guard(
        ResiliencePolicy(retries=RetryPolicy(budget_share=0.0), hedging=HedgingPolicy(budget_share=0.0))
    )

    assert not resilience.allowance(1e6).retry
    assert not resilience.allowance(1e6).hedge


# --- latencies --------------------------------------------------------------------------------------


def test_a_model_is_slow_beyond_the_quantile_of_its_own_latency() -> None:
    resilience = a_guard(ResiliencePolicy(hedging=HedgingPolicy(min_samples=20)))
    for number in range(1, 101):
        attempt(resilience, Answered("x"), 0.0, number / 10)

    assert resilience.latencies.hedge_after_s("a", "backup", streamed=False) == pytest.approx(9.6)
    assert math.isinf(resilience.latencies.hedge_after_s("a", "backup", streamed=True))


@pytest.mark.parametrize(("answers", "usual", "after"), [(4, 0.4, 1.0), (5, 0.4, 0.4), (5, 0.05, 0.1), (5, 3.0, 3.0)])
def test_a_fast_model_is_not_hedged_before_the_backup_could_have_answered(
    answers: int, usual: float, after: float
) -> None:
    resilience = a_guard(ResiliencePolicy(hedging=HedgingPolicy(min_samples=20)))
    for _ in range(20):
        attempt(resilience, Answered("x"), 0.0, 0.1)
    for _ in range(answers):
        attempt(resilience, Answered("x"), 0.0, usual, BACKUP)

    assert resilience.latencies.hedge_after_s("a", "backup", streamed=False) == after


def test_a_model_that_is_hardly_known_is_never_called_slow() -> None:
    resilience = a_guard(ResiliencePolicy(hedging=HedgingPolicy(min_samples=20)))
    for _ in range(19):
        attempt(resilience, Answered("x"), 0.0, 1.0)

    assert math.isinf(resilience.latencies.hedge_after_s("a", "backup", streamed=False))


def test_only_answers_tell_how_long_a_model_takes() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1000), hedging=HedgingPolicy(min_samples=1)))
    for outcome in (Failed("boom"), Blank(), TimedOut("late")):
        attempt(resilience, outcome, 0.0, 9.0)

    assert math.isinf(resilience.latencies.hedge_after_s("a", "backup", streamed=False))


@pytest.mark.parametrize(("latency", "reserve"), [(0.2, 1.0), (4.0, 4.0), (60.0, 10.0)])
def test_the_backups_reserve_follows_its_latency_within_its_bounds(latency: float, reserve: float) -> None:
    resilience = a_guard(ResiliencePolicy(reserves=ReservePolicy(backup_min_seconds=1.0, backup_max_seconds=10.0)))
    assert resilience.latencies.reserve_s("backup", streamed=False) == 10.0

    for _ in range(10):
        attempt(resilience, Answered("x"), 0.0, latency, BACKUP)

    assert resilience.latencies.reserve_s("backup", streamed=False) == reserve


def test_a_model_that_changes_is_measured_by_what_it_did_of_late() -> None:
    resilience = a_guard(ResiliencePolicy(hedging=HedgingPolicy(min_samples=1)))
    for _ in range(1000):
        attempt(resilience, Answered("x"), 0.0, 9.0)
    for _ in range(256):
        attempt(resilience, Answered("x"), 0.0, 1.0)

    assert resilience.latencies.hedge_after_s("a", "backup", streamed=False) == 1.0
