"""Every (state, event) of a breaker, one by one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deployments.policy.breaker import (
    Admission,
    BreakerPolicy,
    BreakerState,
    Closed,
    Evidence,
    HalfOpen,
    Open,
    Span,
    Window,
    admit,
    evidence,
    record,
)
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, Rejected, TimedOut

POLICY = BreakerPolicy(failures=3, open_seconds=10.0, open_max_seconds=60.0, probes=2)
MIDDLE = 0.5  # the draw that makes no opening longer or shorter
NOW = 100.0
AT_ONCE = Span(NOW, NOW)

WELL: list[Outcome] = [Answered("x"), Answered(0, finish_reason="length")]
ILL: list[Outcome] = [Blank(), Failed("boom"), Failed("gone", transient=True), TimedOut("late")]
NOTHING: list[Outcome] = [Refused("queue full"), Cancelled("beaten"), Rejected("no prompt")]


def by_name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(o, Evidence.SUCCESS) for o in WELL]
    + [(o, Evidence.FAILURE) for o in ILL]
    + [(o, Evidence.NEUTRAL) for o in NOTHING],
)
def test_only_what_a_model_did_itself_is_evidence(outcome: Outcome, expected: Evidence) -> None:
    assert evidence(outcome) is expected


@pytest.mark.parametrize(
    ("before", "after", "permit"),
    [
        (Closed(4, 0), Closed(4, 0), Admission(4, probe=False)),
        (Closed(4, 2), Closed(4, 2), Admission(4, probe=False)),
        (Open(5, NOW), HalfOpen(6, probing=1), Admission(6, probe=True)),
        (Open(5, NOW - 1), HalfOpen(6, probing=1), Admission(6, probe=True)),
        (HalfOpen(6, probing=0), HalfOpen(6, probing=1), Admission(6, probe=True)),
        (HalfOpen(6, probing=1), HalfOpen(6, probing=2), Admission(6, probe=True)),
    ],
)
def test_an_attempt_is_admitted(before: BreakerState, after: BreakerState, permit: Admission) -> None:
    assert admit(before, POLICY, NOW) == (after, permit)


@pytest.mark.parametrize("before", [Open(5, NOW + 0.001), HalfOpen(6, probing=2)])
def test_an_attempt_is_refused_and_changes_nothing(before: BreakerState) -> None:
    after, permit = admit(before, POLICY, NOW)

    assert after == before
    assert isinstance(permit, Refused)
    assert permit.reason.startswith("breaker ")


TRANSITIONS = [
    *((Closed(4, 0), outcome, Closed(4, 0)) for outcome in WELL + NOTHING),
    *((Closed(4, 0), outcome, Closed(4, 1)) for outcome in ILL),
    *((Closed(4, 2), outcome, Closed(4, 0)) for outcome in WELL),
    *((Closed(4, 2), outcome, Closed(4, 2)) for outcome in NOTHING),
    *((Closed(4, 2), outcome, Open(5, NOW + 10.0)) for outcome in ILL),
    *((HalfOpen(6, 1), outcome, Closed(7, 0)) for outcome in WELL),
    *((HalfOpen(6, 2), outcome, Closed(7, 0)) for outcome in WELL),
    *((HalfOpen(6, 1), outcome, HalfOpen(6, 0)) for outcome in NOTHING),
    *((HalfOpen(6, 2), outcome, HalfOpen(6, 1)) for outcome in NOTHING),
    *((HalfOpen(6, 2), outcome, Open(7, NOW + 20.0, openings=2)) for outcome in ILL),
    *((Open(5, NOW + 1), outcome, Open(5, NOW + 1)) for outcome in WELL + ILL + NOTHING),
]


@pytest.mark.parametrize(("before", "outcome", "after"), TRANSITIONS, ids=by_name)
def test_an_outcome_moves_the_state_that_admitted_its_attempt(
    before: BreakerState, outcome: Outcome, after: BreakerState
) -> None:
    now = record(before, POLICY, Admission(before.epoch, probe=False), outcome, AT_ONCE, MIDDLE)

    assert (replace(now, window=Window(), failed_at=-math.inf) if isinstance(now, Closed) else now) == after


@pytest.mark.parametrize("before", [Closed(4, 2), Open(5, NOW + 1), HalfOpen(6, 1)], ids=by_name)
@pytest.mark.parametrize("outcome", WELL + ILL + NOTHING, ids=by_name)
@pytest.mark.parametrize("away", [-3, -1, 1])
def test_an_outcome_says_nothing_about_a_state_that_did_not_admit_its_attempt(
    before: BreakerState, outcome: Outcome, away: int
) -> None:
    assert record(before, POLICY, Admission(before.epoch + away, probe=False), outcome, AT_ONCE, MIDDLE) == before


# --- the window ------------------------------------------------------------------------------------


def after(outcomes: list[Outcome], policy: BreakerPolicy, *, apart_s: float = 0.1) -> BreakerState:
    """The state of a new breaker after attempts that ended so, one after the other."""
    state: BreakerState = Closed()
    for place, outcome in enumerate(outcomes):
        now = place * apart_s
        state = record(state, policy, Admission(0, probe=False), outcome, Span(now, now), MIDDLE)
    return state


FLAKY: list[Outcome] = [Answered("x"), Failed("boom")]
RATE = BreakerPolicy(failures=5, failure_rate=0.5, window_seconds=10.0, window_min_attempts=20)


def test_a_model_that_fails_every_other_time_opens_its_breaker_though_never_twice_in_a_row() -> None:
    assert isinstance(after(FLAKY * 10, RATE), Open)


def test_a_share_of_failures_is_not_believed_before_there_have_been_enough_attempts() -> None:
    assert isinstance(after(FLAKY * 9, RATE), Closed)


def test_a_share_of_failures_below_the_policy_leaves_the_breaker_closed() -> None:
    assert isinstance(after([Answered("x"), Answered("x"), Failed("boom")] * 20, RATE), Closed)


def test_failures_that_have_left_the_window_count_no_more() -> None:
    assert isinstance(after(FLAKY * 30, RATE, apart_s=1.0), Closed)


def test_attempts_that_say_nothing_are_not_in_the_window() -> None:
    assert isinstance(after([Answered("x"), Failed("boom"), Refused("full")] * 6, RATE), Closed)


# --- how long it stays open ------------------------------------------------------------------------


def open_seconds(openings: int, draw: float, policy: BreakerPolicy) -> float:
    """How long a breaker stays open after its last probe but one has failed `openings - 1` times."""
    state: BreakerState = HalfOpen(6, 1, openings - 1) if openings > 1 else Closed(6, policy.failures - 1)
    opened = record(state, policy, Admission(6, probe=True), Failed("boom"), AT_ONCE, draw)
    assert isinstance(opened, Open)
    return opened.until - NOW


def test_each_failed_probe_doubles_the_time_to_the_next_up_to_the_cap() -> None:
    policy = BreakerPolicy(open_seconds=1.0, open_max_seconds=10.0)

    assert [open_seconds(n, MIDDLE, policy) for n in range(1, 7)] == pytest.approx([1.0, 2.0, 4.0, 8.0, 10.0, 10.0])


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_openings_are_spread_by_a_fifth_and_never_beyond_the_cap(openings: int, draw: float) -> None:
    policy = BreakerPolicy(open_seconds=1.0, open_max_seconds=10.0)

    usual = min(10.0, 2.0 ** min(openings - 1, 10))

    assert 0.8 * usual <= open_seconds(openings, draw, policy) + 1e-9 <= min(10.0, 1.2 * usual) + 1e-6
