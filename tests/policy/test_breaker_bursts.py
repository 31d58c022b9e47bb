"""One burst is one event, and an answer that comes after all takes a silence back."""

import math

from deployments.policy.breaker import (
    BURST_S,
    Admission,
    BreakerPolicy,
    BreakerState,
    Closed,
    HalfOpen,
    Open,
    Span,
    admit,
    answered_after_all,
    record,
)
from deployments.policy.outcome import Answered, Failed, Outcome, TimedOut

POLICY = BreakerPolicy(failures=3, window_min_attempts=10)
CLOSED = Admission(0, probe=False)
RESET = Failed("the connection was reset", transient=True)


def after(*ended: tuple[Outcome, float, float], policy: BreakerPolicy = POLICY) -> BreakerState:
    """The state of a new breaker after attempts with this outcome, start and end."""
    state: BreakerState = Closed()
    for outcome, started, ends in ended:
        state = record(state, policy, CLOSED, outcome, Span(started, ends), 0.5)
    return state


def failures(state: BreakerState) -> float:
    return state.failures if isinstance(state, Closed) else math.inf


def test_failures_of_one_moment_are_one_event_however_many_they_are() -> None:
    assert failures(after(*[(RESET, 0.0, 1.0 + place / 1000) for place in range(40)])) == 1


def test_bursts_one_after_the_other_open_the_breaker() -> None:
    bursts = [(RESET, float(burst), burst + 0.5) for burst in range(3) for _ in range(14)]

    assert failures(after(*bursts[:28])) == 2
    assert isinstance(after(*bursts), Open)


def test_failures_of_attempts_that_did_not_overlap_are_events_of_their_own() -> None:
    assert isinstance(after(*[(RESET, place / 10, (place + 1) / 10) for place in range(3)]), Open)


def test_failures_that_go_on_are_no_single_moment() -> None:
    at = [1.0, 1.1, 1.1 + BURST_S, 1.2 + BURST_S, 1.3 + 2 * BURST_S]

    assert failures(after(*[(RESET, 0.0, moment) for moment in at[:4]])) == 2
    assert isinstance(after(*[(RESET, 0.0, moment) for moment in at]), Open)


def test_each_time_out_counts_as_it_has_lasted_for_long() -> None:
    assert isinstance(after(*[(TimedOut("late"), 0.0, 10.0)] * 3), Open)


def test_a_failure_behind_an_answer_is_an_event_of_its_own() -> None:
    mixed: list[tuple[Outcome, float, float]] = [(RESET, 0.0, 1.0), (Answered("x"), 0.0, 1.1), (RESET, 0.0, 1.2)]

    state = after(*mixed)

    assert isinstance(state, Closed)
    assert (state.failures, state.window.events) == (1, 2)


def test_a_model_that_fails_more_often_than_not_opens_its_breaker_though_many_ask_it_at_a_time() -> None:
    some: list[tuple[Outcome, float, float]] = [(RESET, 0.0, 1.0), (RESET, 0.0, 1.01), (Answered("x"), 0.0, 1.02)]

    assert isinstance(after(*some * 4), Open)


def test_a_burst_is_no_share_of_failures_either() -> None:
    burst = [(RESET, 0.0, 1.0)] * 30

    assert isinstance(after(*burst), Closed)


def test_an_answer_after_all_takes_the_failure_back() -> None:
    silent = after((Answered("x"), 0.0, 0.1), (Failed("silent"), 0.2, 1.2))

    state = answered_after_all(silent, CLOSED, 2.0)

    assert isinstance(state, Closed)
    assert (state.failures, state.window.failure_rate, state.window.events) == (0, 0.0, 0)


def test_where_silences_have_opened_the_breaker_an_answer_after_all_lets_a_probe_through_at_once() -> None:
    opened = after(*[(Failed("silent"), place, place + 0.9) for place in range(3)])
    assert isinstance(opened, Open)
    assert opened.until > 3.0

    probing, admission = admit(answered_after_all(opened, CLOSED, 3.0), POLICY, 3.0)

    assert (type(probing), admission) == (HalfOpen, Admission(2, probe=True))


def test_an_answer_after_all_says_nothing_about_a_later_state() -> None:
    later = Open(7, until=9.0)

    assert answered_after_all(later, CLOSED, 3.0) == later
