"""One deadline a request, shared by all tiers (contract, part 2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.deadline import Deadline, ReservePolicy, Reserves

NOWS = st.floats(0, 1e7)
SECONDS = st.floats(0.01, 86_400)
RESERVES = st.builds(
    Reserves,
    backup_seconds=st.floats(0.001, 86_400),
    backup_share=st.floats(0, 1),
    last_resort_seconds=st.floats(0.001, 86_400),
    last_resort_share=st.floats(0.01, 0.99),
)


@given(NOWS, SECONDS, RESERVES)
def test_a_deadline_runs_from_start_over_cut_over_and_answer_by_to_its_end(
    now: float, seconds: float, reserves: Reserves
) -> None:
    deadline = Deadline.after(now, seconds, reserves)

    assert deadline.start <= deadline.cut_over <= deadline.answer_by < deadline.end


@given(NOWS, SECONDS, RESERVES)
def test_a_reserve_takes_at_most_its_seconds_and_its_share(now: float, seconds: float, reserves: Reserves) -> None:
    deadline = Deadline.after(now, seconds, reserves)

    for reserve, most_s, share in [
        (deadline.end - deadline.answer_by, reserves.last_resort_seconds, reserves.last_resort_share),
        (deadline.answer_by - deadline.cut_over, reserves.backup_seconds, reserves.backup_share),
    ]:
        assert reserve <= most_s + 1e-6
        assert reserve <= share * deadline.seconds + 1e-6


def test_a_deadline_takes_its_seconds_from_now() -> None:
    assert Deadline.after(5.0, 30.0) == Deadline(5.0, 35.0)
    assert Deadline.after(5.0, 30.0).seconds == 30.0


def test_a_long_deadline_keeps_the_seconds_of_its_reserves() -> None:
    deadline = Deadline.after(0.0, 30.0)

    assert deadline.answer_by == pytest.approx(29.9)
    assert deadline.cut_over == pytest.approx(19.9)


def test_a_short_deadline_keeps_the_shares_of_its_reserves() -> None:
    deadline = Deadline.after(0.0, 0.1)

    assert deadline.answer_by == pytest.approx(0.08)
    assert deadline.cut_over == pytest.approx(0.03)


def test_reserves_of_nothing_leave_the_whole_deadline() -> None:
    deadline = Deadline.after(0.0, 30.0, Reserves(0.0, 0.0, 0.0, 0.0))

    assert deadline.cut_over == deadline.answer_by == deadline.end == 30.0


def test_the_moments_of_a_deadline_follow_from_its_start_its_end_and_its_reserves_whatever_is_given() -> None:
    assert Deadline(0.0, 30.0, answer_by=10.0, cut_over=40.0) == Deadline(0.0, 30.0)


def test_the_reserves_of_a_request_are_those_of_the_policy_with_the_seconds_its_backup_needs() -> None:
    policy = ReservePolicy(backup_share=0.4, last_resort_seconds=0.2, last_resort_share=0.1)

    assert policy.to_reserves(3.0) == Reserves(3.0, 0.4, 0.2, 0.1)
