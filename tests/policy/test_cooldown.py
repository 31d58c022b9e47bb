"""A model that asks for a pause is left alone by all requests, and no breaker opens."""

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import Closed
from deployments.policy.outcome import Answered, Blank, Failed, Finished, Outcome, Refused
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.retry import RetryPolicy
from deployments.policy.terms import ANY_TERMS

A = Candidate(Tier.PRIMARY, "a")
WAIT = Refused("limited", transient=True, retry_after_s=20.0)


def a_state(hold_seconds: float = 60.0) -> ResilienceState:
    policy = ResiliencePolicy(retries=RetryPolicy(hold_seconds=hold_seconds))
    return ResilienceState(policy, lambda *_: None, "backup", draw=lambda: 0.5)


def admit(state: ResilienceState, now: float) -> Permit | Refused:
    return state.admit(A, Why.NEXT, now, ANY_TERMS, direct=True)


def attempt(state: ResilienceState, outcome: Outcome | Finished, started: float, ended: float) -> None:
    permit = admit(state, started)
    assert isinstance(permit, Permit)
    state.record(permit, outcome, ended)


def test_a_model_that_asked_for_a_pause_is_not_asked_before_its_end() -> None:
    state = a_state()
    attempt(state, WAIT, 0.0, 1.0)

    refused = admit(state, 2.0)

    assert refused == Refused("it asked for a pause, of which 19.0 s are left", transient=True, retry_after_s=19.0)
    assert isinstance(admit(state, 20.9), Refused)
    assert isinstance(admit(state, 21.0), Permit)


def test_a_pause_opens_no_breaker() -> None:
    state = a_state()
    for place in range(50):
        attempt(state, WAIT, place * 30.0, place * 30.0 + 1)

    assert isinstance(state.state("a"), Closed)


def test_a_pause_is_bounded() -> None:
    state = a_state(hold_seconds=5.0)
    attempt(state, Refused("quota", transient=True, retry_after_s=86_400.0), 0.0, 1.0)

    assert isinstance(admit(state, 5.9), Refused)
    assert isinstance(admit(state, 6.0), Permit)


def test_a_success_that_began_before_the_pause_does_not_end_it_and_one_that_began_after_does() -> None:
    state = a_state()
    before = admit(state, 0.0)
    attempt(state, WAIT, 0.0, 1.0)
    assert isinstance(before, Permit)

    state.record(before, Answered("fine"), 2.0)
    assert isinstance(admit(state, 3.0), Refused)

    attempt(state, Answered("fine"), 21.0, 22.0)
    assert isinstance(admit(state, 22.0), Permit)


def test_a_success_that_began_at_the_very_moment_of_the_refusal_does_not_end_the_pause() -> None:
    state = a_state()
    refused, beside = admit(state, 0.0), admit(state, 1.0)
    assert isinstance(refused, Permit)
    assert isinstance(beside, Permit)

    state.record(refused, WAIT, 1.0)
    state.record(beside, Answered("fine"), 2.0)

    assert isinstance(admit(state, 3.0), Refused)


def test_a_later_and_shorter_pause_does_not_shorten_a_longer_one() -> None:
    state = a_state()
    other = admit(state, 0.0)
    attempt(state, WAIT, 0.0, 1.0)
    assert isinstance(other, Permit)
    state.record(other, Refused("limited", transient=True, retry_after_s=1.0), 1.5)

    assert isinstance(admit(state, 10.0), Refused)


def test_only_a_named_time_holds_a_model() -> None:
    state = a_state()
    for outcome in (Failed("it broke", transient=True), Refused("full"), Blank(), Finished()):
        attempt(state, outcome, 0.0, 1.0)

    assert isinstance(admit(state, 1.0), Permit)


def test_a_pause_is_remembered_though_nothing_else_is_known_of_a_model() -> None:
    state = a_state()
    attempt(state, WAIT, 0.0, 0.0)

    assert isinstance(admit(state, 0.0), Refused)
