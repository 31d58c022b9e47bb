"""What a router remembers of its models: limits, budgets, latencies, breakers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.admission import AdmissionPolicy
from deployments.policy.answer import Candidate, Tier, Why
from deployments.policy.breaker import BreakerPolicy, BreakerState, Closed, Open
from deployments.policy.guard import Guard, GuardPolicy, Permit
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, Refused, TimedOut
from deployments.policy.pace import PacePolicy

A = Candidate(Tier.PRIMARY, "a")
BACKUP = Candidate(Tier.BACKUP, "backup")
REMOTE_BACKUP = Candidate(Tier.BACKUP, "hosted")
SMALL = AdmissionPolicy(min_limit=1, max_limit=64, initial_limit=4, reserved_share=0.5)


class Told(list[tuple[str, str, str, str]]):
    """A listener that writes down what it hears."""

    def __call__(self, model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
        self.append((model, type(before).__name__, type(after).__name__, reason))


def a_guard(policy: GuardPolicy | None = None, told: Told | None = None) -> Guard:
    return Guard(policy or GuardPolicy(), told if told is not None else Told(), BACKUP.model, lambda: 0.5)


def admit(
    guard: Guard, candidate: Candidate = A, now: float = 0.0, *, why: Why = Why.NEXT, direct: bool = False
) -> Permit | Refused:
    return guard.admit(candidate, why, now, direct=direct, streamed=False)


def attempt(guard: Guard, outcome: Outcome, started: float, ended: float, candidate: Candidate = A) -> None:
    permit = admit(guard, candidate, started)
    assert isinstance(permit, Permit)
    guard.record(permit, outcome, ended)


# --- breakers ---------------------------------------------------------------------------------------


def test_a_listener_hears_of_every_transition_with_the_reason_of_its_attempt() -> None:
    told = Told()
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=2, open_s=10.0)), told)

    attempt(guard, Failed("first"), 0.0, 0.0)
    attempt(guard, Failed("second"), 0.0, 0.0)
    attempt(guard, Answered("x"), 10.0, 10.0)

    assert told == [
        ("a", "Closed", "Open", "second"),
        ("a", "Open", "HalfOpen", "probing"),
        ("a", "HalfOpen", "Closed", ""),
    ]


def test_every_model_has_a_breaker_of_its_own() -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=1)))

    attempt(guard, Failed("boom"), 0.0, 0.0)

    assert isinstance(guard.state("a"), Open)
    assert guard.state("b") == Closed()


def test_the_local_backup_is_never_refused_for_its_failures() -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=1)))

    for now in range(30):
        attempt(guard, Failed("boom"), float(now), float(now), BACKUP)


def test_a_remote_backup_has_somebody_behind_it_and_therefore_a_breaker() -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=1)))

    attempt(guard, Failed("boom"), 0.0, 0.0, REMOTE_BACKUP)

    assert isinstance(admit(guard, REMOTE_BACKUP), Refused)


def test_a_permit_is_handed_back_once() -> None:
    guard = a_guard()
    permit = admit(guard)
    assert isinstance(permit, Permit)
    guard.record(permit, Answered("x"), 1.0)

    with pytest.raises(ValueError, match="handed back"):
        guard.record(permit, Answered("x"), 1.0)


def test_names_that_nobody_goes_by_are_not_remembered() -> None:
    guard = a_guard()

    for number in range(1000):
        attempt(guard, Refused("unknown model"), 0.0, 0.0, Candidate(Tier.PRIMARY, f"made-up-{number}"))

    assert guard._models == {}


# --- limits -----------------------------------------------------------------------------------------


def test_a_model_gets_no_more_attempts_at_a_time_than_its_limit() -> None:
    guard = a_guard(GuardPolicy(admission=SMALL))

    admitted = [admit(guard) for _ in range(5)]

    assert [type(permit) for permit in admitted] == [Permit] * 4 + [Refused]
    refused = admitted[-1]
    assert isinstance(refused, Refused)
    assert refused.retry_after_s >= 1.0


def test_a_place_is_free_again_once_its_attempt_has_ended() -> None:
    guard = a_guard(GuardPolicy(admission=SMALL))
    permits = [admit(guard) for _ in range(4)]
    assert isinstance(permits[0], Permit)

    guard.record(permits[0], Blank(), 1.0)

    assert isinstance(admit(guard), Permit)


def test_of_the_backup_places_are_kept_for_requests_whose_own_model_has_failed() -> None:
    guard = a_guard(GuardPolicy(admission=SMALL))

    meant_for_it = [admit(guard, BACKUP, direct=True) for _ in range(4)]
    sent_to_it = [admit(guard, BACKUP) for _ in range(3)]

    assert [type(permit) for permit in meant_for_it] == [Permit, Permit, Refused, Refused]
    assert [type(permit) for permit in sent_to_it] == [Permit, Permit, Refused]


def loaded(guard: Guard, seconds: float, at: float, times: int, together: int) -> float:
    """Run `times` rounds of `together` attempts of `seconds` each; gives the time it is then."""
    for _ in range(times):
        permits = [permit for _ in range(together) if isinstance(permit := admit(guard, now=at), Permit)]
        at += seconds
        for permit in permits:
            guard.record(permit, Answered("x"), at)
    return at


def test_a_limit_falls_when_a_model_takes_much_longer_than_unloaded_and_grows_again_when_it_does_not() -> None:
    policy = AdmissionPolicy(min_limit=1, max_limit=64, initial_limit=16, tolerance=2.0)
    guard = a_guard(GuardPolicy(admission=policy))
    now = loaded(guard, 0.1, 0.0, times=10, together=1)
    before = guard.describe("a")["limit"]

    now = loaded(guard, 1.0, now, times=10, together=16)
    crowded = guard.describe("a")["limit"]
    loaded(guard, 0.1, now, times=200, together=64)

    assert before == 16
    assert crowded < 8
    assert guard.describe("a")["limit"] > 16


def test_a_model_that_takes_milliseconds_may_take_several_times_as_long() -> None:
    guard = a_guard(GuardPolicy(admission=AdmissionPolicy(min_limit=1, initial_limit=16, patience_s=0.25)))
    now = loaded(guard, 0.002, 0.0, times=10, together=1)

    loaded(guard, 0.2, now, times=20, together=16)

    assert guard.describe("a")["limit"] >= 16


def test_a_limit_never_leaves_its_bounds() -> None:
    policy = AdmissionPolicy(min_limit=3, max_limit=20, initial_limit=16)
    guard = a_guard(GuardPolicy(admission=policy))

    now = loaded(guard, 0.1, 0.0, times=300, together=40)
    assert guard.describe("a")["limit"] == 20
    limits = []
    for _ in range(20):
        now = loaded(guard, 100.0, now, times=1, together=40)
        limits.append(guard.describe("a")["limit"])
    assert min(limits) <= 5
    assert all(3 <= limit <= 20 for limit in limits)


def test_attempts_that_time_out_bring_a_limit_down() -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=1000, window_min_attempts=1000)))
    loaded(guard, 0.1, 0.0, times=10, together=1)
    before = guard.describe("a")["limit"]

    for _ in range(8):
        permits = [admit(guard, now=10.0) for _ in range(16)]
        for permit in permits:
            if isinstance(permit, Permit):
                guard.record(permit, TimedOut("late"), 20.0)

    assert guard.describe("a")["limit"] <= before / 2


# --- budgets ----------------------------------------------------------------------------------------


@given(st.integers(100, 2000), st.floats(0.01, 0.5))
def test_retries_stay_a_share_of_the_requests_however_many_would_be_wanted(requests: int, share: float) -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=10**9, window_min_attempts=10**9), retry_share=share))
    retries = 0
    for number in range(requests):
        now = number / 1000
        guard.begin(now)
        while guard.allowance(now).retry:
            permit = admit(guard, why=Why.RETRY, now=now)
            assert isinstance(permit, Permit)
            guard.record(permit, Failed("reset", transient=True), now)
            retries += 1

    assert retries <= share * requests + 12


def test_hedges_have_a_budget_of_their_own() -> None:
    guard = a_guard(GuardPolicy(hedge_share=0.05))
    permit = admit(guard, why=Why.HEDGE)
    assert isinstance(permit, Permit)

    assert not guard.allowance(0.0).hedge
    assert guard.allowance(0.0).retry


def test_a_budget_of_nothing_allows_nothing() -> None:
    guard = a_guard(GuardPolicy(retry_share=0.0, hedge_share=0.0))

    assert not guard.allowance(1e6).retry
    assert not guard.allowance(1e6).hedge


# --- latencies --------------------------------------------------------------------------------------


def test_a_model_is_slow_beyond_the_quantile_of_its_own_latency() -> None:
    guard = a_guard(GuardPolicy(pace=PacePolicy(min_samples=20)))
    for number in range(1, 101):
        attempt(guard, Answered("x"), 0.0, number / 10)

    assert guard.pace.hedge_after_s("a", "backup", streamed=False) == pytest.approx(9.6)
    assert math.isinf(guard.pace.hedge_after_s("a", "backup", streamed=True))


@pytest.mark.parametrize(("answers", "usual", "after"), [(4, 0.4, 1.0), (5, 0.4, 0.4), (5, 0.05, 0.1), (5, 3.0, 3.0)])
def test_a_fast_model_is_not_hedged_before_the_backup_could_have_answered(
    answers: int, usual: float, after: float
) -> None:
    guard = a_guard(GuardPolicy(pace=PacePolicy(min_samples=20)))
    for _ in range(20):
        attempt(guard, Answered("x"), 0.0, 0.1)
    for _ in range(answers):
        attempt(guard, Answered("x"), 0.0, usual, BACKUP)

    assert guard.pace.hedge_after_s("a", "backup", streamed=False) == after


def test_a_model_that_is_hardly_known_is_never_called_slow() -> None:
    guard = a_guard(GuardPolicy(pace=PacePolicy(min_samples=20)))
    for _ in range(19):
        attempt(guard, Answered("x"), 0.0, 1.0)

    assert math.isinf(guard.pace.hedge_after_s("a", "backup", streamed=False))


def test_only_answers_tell_how_long_a_model_takes() -> None:
    guard = a_guard(GuardPolicy(BreakerPolicy(failures=1000), pace=PacePolicy(min_samples=1)))
    for outcome in (Failed("boom"), Blank(), TimedOut("late")):
        attempt(guard, outcome, 0.0, 9.0)

    assert math.isinf(guard.pace.hedge_after_s("a", "backup", streamed=False))


@pytest.mark.parametrize(("latency", "reserve"), [(0.2, 1.0), (4.0, 4.0), (60.0, 10.0)])
def test_the_backups_reserve_follows_its_latency_within_its_bounds(latency: float, reserve: float) -> None:
    guard = a_guard(GuardPolicy(pace=PacePolicy(reserve_min_s=1.0, reserve_max_s=10.0)))
    assert guard.pace.reserve_s("backup", streamed=False) == 10.0

    for _ in range(10):
        attempt(guard, Answered("x"), 0.0, latency, BACKUP)

    assert guard.pace.reserve_s("backup", streamed=False) == reserve


def test_a_model_that_changes_is_measured_by_what_it_did_of_late() -> None:
    guard = a_guard(GuardPolicy(pace=PacePolicy(min_samples=1)))
    for _ in range(1000):
        attempt(guard, Answered("x"), 0.0, 9.0)
    for _ in range(256):
        attempt(guard, Answered("x"), 0.0, 1.0)

    assert guard.pace.hedge_after_s("a", "backup", streamed=False) == 1.0
