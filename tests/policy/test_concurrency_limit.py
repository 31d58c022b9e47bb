"""How many attempts a model is given at a time."""

from deployments.policy.attempt import Why
from deployments.policy.breaker import BreakerPolicy
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.outcome import Answered, Blank, Refused, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.terms import Terms
from tests.policy.states import BACKUP, SMALL, A, a_guard, admit


def test_a_model_gets_no_more_attempts_at_a_time_than_its_limit() -> None:
    resilience = a_guard(ResiliencePolicy(limits=SMALL))

    admitted = [admit(resilience) for _ in range(5)]

    assert [type(permit) for permit in admitted] == [Permit] * 4 + [Refused]
    refused = admitted[-1]
    assert isinstance(refused, Refused)
    assert refused.retry_after_s >= 1.0


def test_a_place_is_free_again_once_its_attempt_has_ended() -> None:
    resilience = a_guard(ResiliencePolicy(limits=SMALL))
    permits = [admit(resilience) for _ in range(4)]
    assert isinstance(permits[0], Permit)

    resilience.record(permits[0], Blank(), 1.0)

    assert isinstance(admit(resilience), Permit)


def test_of_the_backup_places_are_kept_for_requests_whose_own_model_has_failed() -> None:
    resilience = a_guard(ResiliencePolicy(limits=SMALL))

    meant_for_it = [admit(resilience, BACKUP, direct=True) for _ in range(4)]
    sent_to_it = [admit(resilience, BACKUP) for _ in range(3)]

    assert [type(permit) for permit in meant_for_it] == [Permit, Permit, Refused, Refused]
    assert [type(permit) for permit in sent_to_it] == [Permit, Permit, Refused]


def loaded(resilience: ResilienceState, seconds: float, at: float, times: int, together: int) -> float:
    """Run `times` rounds of `together` attempts of `seconds` each; gives the time it is then."""
    for _ in range(times):
        permits = [permit for _ in range(together) if isinstance(permit := admit(resilience, now=at), Permit)]
        at += seconds
        for permit in permits:
            resilience.record(permit, Answered("x"), at)
    return at


def test_a_limit_falls_when_a_model_takes_much_longer_than_unloaded_and_grows_again_when_it_does_not() -> None:
    policy = LimitPolicy(min_limit=1, max_limit=64, initial_limit=16, tolerance=2.0)
    resilience = a_guard(ResiliencePolicy(limits=policy))
    now = loaded(resilience, 0.1, 0.0, times=10, together=1)
    before = resilience.describe("a")["limit"]

    now = loaded(resilience, 1.0, now, times=10, together=16)
    crowded = resilience.describe("a")["limit"]
    loaded(resilience, 0.1, now, times=200, together=64)

    assert before == 16
    assert crowded < 8
    assert resilience.describe("a")["limit"] > 16


def test_a_limit_that_is_in_the_way_doubles_until_the_model_was_too_slow_once_and_then_grows_by_one() -> None:
    policy = LimitPolicy(min_limit=1, max_limit=512, initial_limit=16)
    resilience = a_guard(ResiliencePolicy(limits=policy))
    limits = []
    now = 0.0
    for seconds in (0.1, 0.1, 9.0, 0.1, 0.1):
        now = loaded(resilience, seconds, now, times=1, together=100)
        limits.append(resilience.describe("a")["limit"])

    assert limits[:2] == [32, 64]
    assert limits[2] < 64
    assert [later - limits[2] for later in limits[3:]] == [1, 2]


def test_a_limit_grows_with_the_first_content_of_streams_and_not_only_with_their_ends() -> None:
    resilience = a_guard(ResiliencePolicy(limits=LimitPolicy(initial_limit=16)))
    streams = [resilience.admit(A, Why.NEXT, 0.0, Terms(streamed=True), direct=False) for _ in range(20)]
    for stream in streams:
        if isinstance(stream, Permit):
            resilience.began(stream, 0.1)

    assert resilience.describe("a")["limit"] == 32


def test_a_model_that_takes_milliseconds_may_take_several_times_as_long() -> None:
    resilience = a_guard(ResiliencePolicy(limits=LimitPolicy(min_limit=1, initial_limit=16, overload_min_seconds=0.25)))
    now = loaded(resilience, 0.002, 0.0, times=10, together=1)

    loaded(resilience, 0.2, now, times=20, together=16)

    assert resilience.describe("a")["limit"] >= 16


def test_a_limit_never_leaves_its_bounds() -> None:
    policy = LimitPolicy(min_limit=3, max_limit=20, initial_limit=16)
    resilience = a_guard(ResiliencePolicy(limits=policy))

    now = loaded(resilience, 0.1, 0.0, times=300, together=40)
    assert resilience.describe("a")["limit"] == 20
    limits = []
    for _ in range(20):
        now = loaded(resilience, 100.0, now, times=1, together=40)
        limits.append(resilience.describe("a")["limit"])
    assert min(limits) <= 5
    assert all(3 <= limit <= 20 for limit in limits)


def test_attempts_that_time_out_bring_a_limit_down() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1000, window_min_attempts=1000)))
    loaded(resilience, 0.1, 0.0, times=10, together=1)
    before = resilience.describe("a")["limit"]

    for _ in range(8):
        permits = [admit(resilience, now=10.0) for _ in range(16)]
        for permit in permits:
            if isinstance(permit, Permit):
                resilience.record(permit, TimedOut("late"), 20.0)

    assert resilience.describe("a")["limit"] <= before / 2
