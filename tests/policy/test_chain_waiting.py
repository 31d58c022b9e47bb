"""The last resort comes last: while somebody will be ready soon and time is left, a request waits."""

import pytest

from deployments.policy.allowance import Allowance
from deployments.policy.attempt import Attempt, Candidate, Ended, Running, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.next_step import AwaitReady, Exhausted, Start, Step, WaitUntil, next_step
from deployments.policy.outcome import Failed, Outcome, Refused
from tests.policy.simulation import BACKUP, A, B

DEADLINE = Deadline(
    0.0, 30.0, Reserves(backup_seconds=9.0, backup_share=0.5, last_resort_seconds=1.0, last_resort_share=0.2)
)
ANSWER_BY = 29.0
STARTING, FULL = Refused("not ready: it starts", soon=True), Refused("its queue is full")


def step(*attempts: Attempt, now: float = 0.1, allowance: Allowance | None = None, waits: bool = True) -> Step:
    chain = FallbackChain((A, B, BACKUP), DEADLINE, waits=waits)
    return next_step(chain, attempts, now, allowance or Allowance())


def ended(candidate: Candidate, outcome: Outcome, why: Why = Why.NEXT) -> Ended:
    return Ended(candidate, 0.0, 0.1, outcome, why)


def test_where_everybody_was_asked_those_who_will_be_ready_soon_are_waited_for_best_first() -> None:
    assert step(ended(A, STARTING), ended(B, Failed("boom")), ended(BACKUP, STARTING)) == AwaitReady(
        (A, BACKUP), ANSWER_BY
    )


def test_nobody_is_waited_for_while_somebody_is_still_to_be_asked_or_at_work() -> None:
    assert step(ended(A, STARTING), ended(B, STARTING)) == Start(BACKUP)
    assert isinstance(step(ended(A, STARTING), ended(B, STARTING), Running(BACKUP, 0.1)), WaitUntil)


def test_a_candidate_that_became_ready_and_had_no_room_is_waited_for_once_more() -> None:
    attempts = [ended(A, STARTING), ended(B, FULL), ended(BACKUP, FULL), ended(A, FULL, Why.READY)]

    assert step(*attempts) == AwaitReady((A,), ANSWER_BY)


@pytest.mark.parametrize(
    ("allowance", "waits", "now"),
    [(Allowance(wait=False), True, 0.1), (Allowance(), False, 0.1), (Allowance(), True, ANSWER_BY)],
    ids=["nobody came, or no place is free", "the caller will not wait", "no time is left"],
)
def test_nothing_is_waited_for_where(allowance: Allowance, now: float, *, waits: bool) -> None:
    attempts = [ended(A, STARTING), ended(B, STARTING), ended(BACKUP, STARTING)]

    assert isinstance(step(*attempts, now=now, allowance=allowance, waits=waits), Exhausted)


def test_a_candidate_whose_only_replica_died_is_waited_for_as_it_is_being_replaced() -> None:
    died = Failed("its replica died", soon=True)

    assert step(ended(A, died), ended(B, Failed("boom")), ended(BACKUP, FULL)) == AwaitReady((A,), ANSWER_BY)


def test_where_everybody_has_failed_for_good_nobody_is_waited_for() -> None:
    assert isinstance(step(ended(A, FULL), ended(B, Failed("boom")), ended(BACKUP, FULL)), Exhausted)
