"""The rows of the contract's table, one by one: who is asked, when, and what the caller gets."""

import pytest

from deployments.policy.answer import Answer
from deployments.policy.attempt import Attempt, Candidate, Ended, Running, Tier, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.last_resort import LAST_RESORT
from deployments.policy.next_step import Accept, Exhausted, Start, WaitUntil, next_step
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, TimedOut, Usage
from tests.policy.simulation import BACKUP, HANGS, LAST_RESORT_MESSAGE, A, B, C, Part, answers, fails, play

# The model has until 20 s, then the backup is started, and at 29 s the last resort speaks.
DEADLINE = Deadline(
    0.0, 30.0, Reserves(backup_seconds=9.0, backup_share=0.5, last_resort_seconds=1.0, last_resort_share=0.2)
)
CUT_OVER, ANSWER_BY = 20.0, 29.0

FAILURES = [Blank(), Failed("boom"), Refused("queue full"), TimedOut("late")]


def chain(*candidates: Candidate, deadline: Deadline = DEADLINE) -> FallbackChain:
    return FallbackChain(candidates, deadline)


def test_a_primary_that_answers_serves_the_request() -> None:
    played = play(chain(A, BACKUP), {A: answers(2.0, "from a")})

    assert played.finished == 2.0
    assert played.answer == Answer(
        "from a", "a", Tier.PRIMARY, degraded=False, attempts=(Ended(A, 0.0, 2.0, Answered("from a")),)
    )


def test_an_answer_keeps_its_models_usage_and_finish_reason() -> None:
    outcome = Answered("from a", Usage(3, 4), "length")

    played = play(chain(A), {A: Part(outcome)})

    assert (played.answer.usage, played.answer.finish_reason) == (Usage(3, 4), "length")


@pytest.mark.parametrize("failure", FAILURES, ids=lambda outcome: outcome.name)
def test_a_primary_that_does_not_answer_hands_over_to_the_backup_at_once(failure: Outcome) -> None:
    played = play(chain(A, BACKUP), {A: Part(failure, 3.0), BACKUP: answers(1.0)})

    assert played.starts == [(0.0, A), (3.0, BACKUP)]
    assert played.finished == 4.0
    assert (played.answer.served_by, played.answer.degraded) == (Tier.BACKUP, True)
    assert played.outcomes == [("a", failure.name), ("backup", "answered")]


def test_a_fallback_model_is_asked_before_the_backup() -> None:
    played = play(chain(A, B, BACKUP), {A: fails(3.0), B: answers(1.0)})

    assert played.starts == [(0.0, A), (3.0, B)]
    assert (played.answer.served_by, played.answer.model, played.answer.degraded) == (Tier.PRIMARY, "b", True)


def test_a_slow_primary_goes_on_beside_the_backup_from_cut_over_and_can_still_win() -> None:
    played = play(chain(A, BACKUP), {A: answers(24.0, "from a"), BACKUP: HANGS})

    assert played.starts == [(0.0, A), (CUT_OVER, BACKUP)]
    assert (played.finished, played.answer.result, played.answer.degraded) == (24.0, "from a", False)
    assert played.outcomes == [("a", "answered"), ("backup", "cancelled")]


def test_a_primary_beaten_by_the_backup_has_timed_out() -> None:
    played = play(chain(A, BACKUP), {A: HANGS, BACKUP: answers(2.0)})

    assert played.finished == CUT_OVER + 2.0
    assert played.answer.served_by is Tier.BACKUP
    assert played.answer.attempts[0] == Ended(A, 0.0, 22.0, TimedOut("no answer within 22.00 s"))


def test_an_attempt_beaten_within_its_per_try_timeout_was_cancelled() -> None:
    played = play(chain(A, B, BACKUP), {A: answers(12.0), B: HANGS})

    assert played.starts == [(0.0, A), (10.0, B)]
    assert played.answer.attempts[1].outcome == Cancelled("another tier answered first")


def test_the_models_of_a_tier_share_its_time_evenly() -> None:
    played = play(chain(A, B, BACKUP), {A: HANGS, B: HANGS, BACKUP: HANGS})

    assert played.starts == [(0.0, A), (CUT_OVER / 2, B), (CUT_OVER, BACKUP)]


def test_time_that_a_failed_model_did_not_use_is_left_to_the_next() -> None:
    played = play(chain(A, B, BACKUP), {A: fails(1.0), B: HANGS, BACKUP: HANGS})

    assert played.starts == [(0.0, A), (1.0, B), (CUT_OVER, BACKUP)]


def test_without_a_backup_the_models_have_until_answer_by() -> None:
    played = play(chain(A, B), {A: HANGS, B: answers(14.0)})

    assert played.starts == [(0.0, A), (ANSWER_BY / 2, B)]
    assert played.finished == 28.5


def test_when_all_have_failed_the_last_resort_answers_at_once() -> None:
    played = play(chain(A, BACKUP), {A: fails(1.0), BACKUP: fails(2.0)})

    assert played.finished == 3.0
    assert played.answer.result == LAST_RESORT_MESSAGE
    assert (played.answer.model, played.answer.finish_reason) == (LAST_RESORT, LAST_RESORT)
    assert (played.answer.served_by, played.answer.degraded) == (Tier.LAST_RESORT, True)
    assert played.outcomes == [("a", "failed"), ("backup", "failed")]


def test_when_nobody_answers_the_last_resort_does_at_answer_by() -> None:
    played = play(chain(A, BACKUP), {A: HANGS, BACKUP: HANGS})

    assert played.finished == ANSWER_BY
    assert played.answer.served_by is Tier.LAST_RESORT
    assert played.outcomes == [("a", "timed_out"), ("backup", "timed_out")]


def test_an_answer_that_comes_exactly_at_answer_by_is_given() -> None:
    played = play(chain(A), {A: answers(ANSWER_BY, "just in time")})

    assert (played.finished, played.answer.result) == (ANSWER_BY, "just in time")


def test_a_chain_of_nobody_is_answered_by_the_last_resort_at_once() -> None:
    played = play(chain(), {})

    assert (played.finished, played.answer.served_by) == (0.0, Tier.LAST_RESORT)
    assert (played.answer.degraded, played.answer.attempts) == (True, ())


def test_a_backup_that_was_asked_first_is_not_degraded() -> None:
    played = play(chain(BACKUP), {BACKUP: answers(1.0)})

    assert (played.answer.served_by, played.answer.degraded) == (Tier.BACKUP, False)


def test_of_two_answers_of_the_same_moment_the_better_candidates_wins() -> None:
    played = play(chain(A, BACKUP), {A: answers(21.0, "from a"), BACKUP: answers(1.0, "from the backup")})

    assert played.answer.result == "from a"


def test_a_driver_that_wakes_up_late_still_gets_an_answer() -> None:
    step = next_step(chain(A, BACKUP), [Running(A, 0.0)], 31.0)

    assert isinstance(step, Exhausted)


def test_at_cut_over_the_next_model_is_started_and_the_backup_with_it() -> None:
    asked: list[Attempt] = [Running(A, 0.0)]

    assert next_step(chain(A, B, C, BACKUP), asked, CUT_OVER) == Start(B, Why.CUT_OVER)
    asked.append(Ended(B, CUT_OVER, CUT_OVER, Refused("breaker open"), Why.CUT_OVER))
    assert next_step(chain(A, B, C, BACKUP), asked, CUT_OVER) == Start(C, Why.CUT_OVER)
    asked.append(Running(C, CUT_OVER, Why.CUT_OVER))
    assert next_step(chain(A, B, C, BACKUP), asked, CUT_OVER) == Start(BACKUP, Why.CUT_OVER)


def test_an_answer_is_never_kept_waiting_by_attempts_that_still_run() -> None:
    attempts: list[Attempt] = [Running(A, 0.0), Ended(BACKUP, CUT_OVER, 21.0, Answered("fine"))]

    assert isinstance(next_step(chain(A, BACKUP), attempts, 21.0), Accept)


def test_the_last_attempt_of_all_is_waited_for_until_answer_by() -> None:
    attempts: list[Attempt] = [Ended(A, 0.0, 1.0, Failed("boom")), Running(BACKUP, 1.0)]

    assert next_step(chain(A, BACKUP), attempts, 1.0) == WaitUntil(ANSWER_BY)


# --- rounding: `start + (end - start)` can come out beyond `end` ------------------------------------

MOMENTS = [moment / 10 for moment in range(1, 490)]


def test_whenever_it_was_started_a_model_that_hung_to_the_end_has_timed_out() -> None:
    for failed_after in MOMENTS:
        played = play(chain(A, B, deadline=Deadline(0.0, 60.0)), {A: fails(failed_after), B: HANGS})

        assert played.outcomes == [("a", "failed"), ("b", "timed_out")], failed_after


def test_whenever_the_models_before_it_were_started_the_backup_is_by_cut_over() -> None:
    deadline = Deadline(0.0, 60.0)
    for failed_after in MOMENTS:
        played = play(chain(A, B, BACKUP, deadline=deadline), {A: fails(failed_after), B: HANGS, BACKUP: answers()})

        assert played.started(BACKUP) <= deadline.cut_over, failed_after
