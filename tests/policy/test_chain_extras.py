"""Retries, hedges, probes and what is handed back: the rules of `next_step` beside the order of the tiers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.allowance import Allowance
from deployments.policy.attempt import Attempt, Candidate, Ended, Running, Tier, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.last_resort import FULL_S
from deployments.policy.next_step import PROBE_GRACE_S, next_step
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, Rejected, TimedOut
from deployments.policy.retry import RetryPolicy
from deployments.policy.step import Accept, Start, Step, WaitUntil
from tests.policy.simulation import BACKUP, DEADLINES, HANGS, A, B, Part, Played, answers, fails, play

DEADLINE = Deadline(
    0.0, 30.0, Reserves(backup_seconds=9.0, backup_share=0.5, last_resort_seconds=1.0, last_resort_share=0.2)
)
CUT_OVER, ANSWER_BY = 20.0, 29.0
RETRY = RetryPolicy(max=2, base_seconds=1.0, cap_seconds=4.0, max_wait_seconds=3.0)


def chain(*candidates: Candidate, jitter: float = 0.0, **options: object) -> FallbackChain:
    settings = {"retry": RETRY, "jitter": jitter, **options}
    return FallbackChain(candidates, DEADLINE, **settings)  # type: ignore[arg-type]


def reset(seconds: float = 0.0, retry_after_s: float = 0.0) -> Part:
    return Part(Failed("reset", transient=True, retry_after_s=retry_after_s), seconds)


def whys(played: Played) -> list[Why]:
    return [attempt.why for attempt in played.answer.attempts]


# --- retries ----------------------------------------------------------------------------------------


def test_a_transient_failure_has_the_same_model_asked_again_before_the_next() -> None:
    played = play(chain(A, BACKUP), {A: [reset(1.0), answers(1.0, "from a")], BACKUP: answers()})

    assert played.starts == [(0.0, A), (1.5, A)]
    assert (played.answer.result, played.answer.degraded, whys(played)) == ("from a", False, [Why.NEXT, Why.RETRY])


def test_a_retry_that_began_too_late_for_a_fair_share_of_its_tiers_time_is_not_charged_with_a_time_out() -> None:
    late = play(chain(A, BACKUP), {A: [reset(15.0), HANGS], BACKUP: answers(1.0)})
    early = play(chain(A, BACKUP), {A: [reset(9.0), HANGS], BACKUP: answers(1.0)})

    reason = "its per-try timeout was over after 5.50 s, less than its fair share"
    assert late.answer.attempts[1].outcome == Cancelled(reason)
    assert early.answer.attempts[1].outcome == TimedOut("no answer within 11.50 s")


def test_each_pause_is_twice_as_long_and_half_of_it_is_drawn() -> None:
    least = play(chain(A, BACKUP, jitter=0.0), {A: reset(), BACKUP: answers()})
    most = play(chain(A, BACKUP, jitter=0.999), {A: reset(), BACKUP: answers()})

    assert [now for now, _ in least.starts] == [0.0, 0.5, 1.5, 1.5]
    assert [now for now, _ in most.starts] == pytest.approx([0.0, 1.0, 3.0, 3.0], abs=0.01)


def test_after_its_retries_the_next_tier_is_asked_at_once() -> None:
    played = play(chain(A, BACKUP), {A: reset(), BACKUP: answers()})

    assert played.outcomes == [("a", "failed")] * 3 + [("backup", "answered")]
    assert played.starts[-1][0] == played.starts[-2][0]


@pytest.mark.parametrize(
    "outcome", [Blank(), Failed("boom"), TimedOut("late"), Refused("full"), Refused("too long")], ids=lambda o: o.name
)
def test_what_is_not_transient_is_not_repeated(outcome: Outcome) -> None:
    played = play(chain(A, BACKUP), {A: Part(outcome), BACKUP: answers()})

    assert played.starts == [(0.0, A), (0.0, BACKUP)]


def test_a_wait_that_the_model_asks_for_is_kept() -> None:
    played = play(chain(A, BACKUP), {A: [reset(1.0, retry_after_s=2.5), answers()], BACKUP: answers()})

    assert played.starts == [(0.0, A), (3.5, A)]


def test_a_wait_beyond_the_patience_goes_to_the_next_tier_at_once() -> None:
    played = play(chain(A, BACKUP), {A: reset(1.0, retry_after_s=3.1), BACKUP: answers()})

    assert played.starts == [(0.0, A), (1.0, BACKUP)]


def test_a_wait_that_does_not_fit_into_the_per_try_timeout_goes_to_the_next_tier_at_once() -> None:
    played = play(chain(A, BACKUP), {A: reset(18.0, retry_after_s=2.5), BACKUP: answers()})

    assert played.starts == [(0.0, A), (18.0, BACKUP)]


def test_an_empty_retry_budget_goes_to_the_next_tier_at_once() -> None:
    played = play(chain(A, BACKUP), {A: reset(1.0), BACKUP: answers()}, Allowance(retry=False))

    assert played.starts == [(0.0, A), (1.0, BACKUP)]


def test_a_primary_that_gave_way_for_want_of_budget_does_not_come_back_beside_the_backup() -> None:
    attempts = list(play(chain(A, BACKUP), {A: reset(1.0), BACKUP: HANGS}, Allowance(retry=False)).answer.attempts)
    running: list[Attempt] = [attempts[0], Running(BACKUP, 1.0)]

    assert next_step(chain(A, BACKUP), running, 2.0, Allowance()) == WaitUntil(ANSWER_BY)


def test_the_backup_is_asked_again_too() -> None:
    played = play(chain(A, BACKUP), {A: fails(), BACKUP: [reset(), answers()]})

    assert played.outcomes == [("a", "failed"), ("backup", "failed"), ("backup", "answered")]


@given(
    DEADLINES,
    st.floats(0, 0.99),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=4),
    st.sampled_from([(A,), (A, BACKUP)]),
)
def test_whatever_is_retried_the_answer_comes_in_time(
    deadline: Deadline, jitter: float, resets: list[tuple[float, float]], candidates: tuple[Candidate, ...]
) -> None:
    tried = FallbackChain(candidates, deadline, RETRY, jitter=jitter)
    parts = [reset(seconds, wait) for seconds, wait in resets]

    played = play(tried, {A: parts, BACKUP: parts})

    assert played.finished <= deadline.answer_by
    assert len(played.starts) <= len(candidates) * (1 + RETRY.max)


# --- hedges and probes ------------------------------------------------------------------------------


def test_a_model_slower_than_usual_gets_the_backup_beside_it() -> None:
    played = play(chain(A, BACKUP, hedge_after_s=2.0), {A: answers(9.0), BACKUP: answers(1.0, "hedged")})

    assert played.starts == [(0.0, A), (2.0, BACKUP)]
    assert (played.answer.result, whys(played)) == ("hedged", [Why.NEXT, Why.HEDGE])


def test_a_hedge_is_no_reason_to_give_the_model_up() -> None:
    played = play(chain(A, BACKUP, hedge_after_s=2.0), {A: answers(9.0, "from a"), BACKUP: HANGS})

    assert (played.answer.result, played.finished) == ("from a", 9.0)


def test_an_empty_hedge_budget_suppresses_the_hedge_and_not_the_cut_over() -> None:
    slow = chain(A, BACKUP, hedge_after_s=2.0)

    played = play(slow, {A: HANGS, BACKUP: answers(1.0)}, Allowance(hedge=False))

    assert played.starts == [(0.0, A), (CUT_OVER, BACKUP)]
    assert played.answer.served_by is Tier.BACKUP


def test_a_model_that_fails_before_it_is_slow_is_followed_and_not_hedged() -> None:
    played = play(chain(A, BACKUP, hedge_after_s=2.0), {A: fails(1.0), BACKUP: answers()})

    assert whys(played) == [Why.NEXT, Why.NEXT]


def test_a_second_model_is_not_hedged() -> None:
    played = play(chain(A, B, BACKUP, hedge_after_s=2.0), {A: fails(1.0), B: HANGS, BACKUP: answers()})

    assert played.starts == [(0.0, A), (1.0, B), (CUT_OVER, BACKUP)]


def test_a_model_that_is_being_tried_again_gets_the_backup_beside_it_at_once() -> None:
    step = next_step(chain(A, BACKUP), [Running(A, 0.0, Why.NEXT, probe=True)], 0.0, Allowance(hedge=False))

    assert step == Start(BACKUP, Why.BESIDE_PROBE)


def beside_a_probe(probe: Attempt, now: float) -> Step:
    backup = Ended(BACKUP, 0.0, 1.0, Answered("from the backup"), Why.BESIDE_PROBE)
    return next_step(chain(A, BACKUP), [probe, backup], now)


def test_a_model_that_is_well_again_wins_over_a_backup_that_is_hardly_faster() -> None:
    running = Running(A, 0.0, Why.NEXT, probe=True)
    assert beside_a_probe(running, 1.0) == WaitUntil(1.0 + PROBE_GRACE_S)

    step = beside_a_probe(Ended(A, 0.0, 1.01, Answered("from a")), 1.01)

    assert isinstance(step, Accept)
    assert step.trace[step.place].candidate == A


@pytest.mark.parametrize(
    "probe", [Running(A, 0.0, Why.NEXT, probe=True), Ended(A, 0.0, 0.5, Failed("boom"))], ids=["hangs", "fails"]
)
def test_a_model_that_is_still_ill_costs_no_more_than_that(probe: Attempt) -> None:
    now = 1.0 + PROBE_GRACE_S if isinstance(probe, Running) else 1.0

    step = beside_a_probe(probe, now)

    assert isinstance(step, Accept)
    assert step.trace[step.place].candidate == BACKUP


# --- first contents ---------------------------------------------------------------------------------


def test_a_silent_stream_has_the_next_candidate_started_after_the_first_content_timeout() -> None:
    played = play(chain(A, BACKUP, first_content_s=5.0), {A: HANGS, BACKUP: answers(1.0)})

    assert played.starts == [(0.0, A), (5.0, BACKUP)]
    assert played.outcomes == [("a", "timed_out"), ("backup", "answered")]


def test_no_first_content_is_waited_for_longer_than_a_third_of_the_deadline() -> None:
    played = play(chain(A, BACKUP, first_content_s=25.0), {A: HANGS, BACKUP: answers(1.0)})

    assert played.starts == [(0.0, A), (10.0, BACKUP)]


# --- what is handed back ----------------------------------------------------------------------------

INVALID = Part(Rejected("max_tokens is too large", "max_tokens"), 1.0)


def test_a_request_the_model_asked_for_calls_invalid_is_handed_back_and_asked_of_nobody_else() -> None:
    played = play(chain(A, BACKUP), {A: INVALID, BACKUP: answers()})

    assert played.rejected == INVALID.outcome
    assert played.starts == [(0.0, A)]


def test_a_rescued_request_goes_to_the_next_tier() -> None:
    played = play(chain(A, BACKUP, rescue_rejected=True), {A: INVALID, BACKUP: answers()})

    assert played.outcomes == [("a", "rejected"), ("backup", "answered")]


def test_what_a_fallback_model_calls_invalid_is_no_fault_of_the_callers() -> None:
    played = play(chain(A, B, BACKUP), {A: fails(), B: INVALID, BACKUP: answers()})

    assert played.outcomes == [("a", "failed"), ("b", "rejected"), ("backup", "answered")]


def test_what_a_content_filter_withheld_is_passed_on_after_one_attempt() -> None:
    withheld = Part(Answered("I cannot say that.", finish_reason="content_filter"))

    played = play(chain(A, BACKUP), {A: withheld, BACKUP: answers()})

    assert (played.answer.result, played.answer.finish_reason) == ("I cannot say that.", "content_filter")
    assert played.starts == [(0.0, A)]


def test_what_a_content_filter_withheld_is_asked_of_the_next_tier_where_the_policy_says_so() -> None:
    withheld = Part(Answered("I cannot say that.", finish_reason="content_filter"))

    played = play(chain(A, BACKUP, rescue_withheld=True), {A: withheld, BACKUP: answers()})

    assert played.answer.served_by is Tier.BACKUP


def test_a_last_resort_for_want_of_room_says_when_to_come_again() -> None:
    full = Part(Refused("at its limit", retry_after_s=7.0))

    assert play(chain(A, BACKUP), {A: full, BACKUP: full}).answer.retry_after_s == 7.0
    assert play(chain(A, BACKUP), {A: fails(), BACKUP: full}).answer.retry_after_s == 0.0


def test_a_model_that_is_full_and_names_no_time_is_to_be_asked_again_in_a_second() -> None:
    full, gone = Part(Refused("its queue is full", full=True)), Part(Refused("it keeps failing to start"))

    assert play(chain(A, BACKUP), {A: gone, BACKUP: full}).answer.retry_after_s == FULL_S
    assert play(chain(A, BACKUP), {A: gone, BACKUP: gone}).answer.retry_after_s == 0.0


@pytest.mark.parametrize("jitter", [-0.1, 1.0, math.nan])
def test_a_jitter_that_is_none_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        chain(A, jitter=jitter)
