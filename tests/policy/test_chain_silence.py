"""Who is started beside a model that is silent, slow, suspected or tried again; and who is at work, and not silent."""

import math

import pytest

from deployments.policy.allowance import Allowance
from deployments.policy.attempt import Attempt, Candidate, Ended, Running, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamLimits
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.next_step import next_step
from deployments.policy.outcome import PUT_BEHIND, Cancelled, Failed, Refused, TimedOut
from deployments.policy.step import AwaitReady, Exhausted, Start, Step, WaitUntil
from tests.policy.simulation import BACKUP, HANGS, A, B, C, Part, answers, fails, play

DEADLINE = Deadline(
    0.0, 30.0, Reserves(backup_seconds=9.0, backup_share=0.5, last_resort_seconds=1.0, last_resort_share=0.2)
)
CUT_OVER, ANSWER_BY = 20.0, 29.0


def chain(*candidates: Candidate, **options: object) -> FallbackChain:
    return FallbackChain(candidates, DEADLINE, **options)  # type: ignore[arg-type]


def step(*attempts: Attempt, now: float, allowance: Allowance | None = None, of: FallbackChain | None = None) -> Step:
    return next_step(of or chain(A, B, BACKUP), attempts, now, allowance or Allowance())


# --- failover ---------------------------------------------------------------------------------------


def test_a_model_that_is_silent_for_too_long_has_the_next_one_started_beside_it() -> None:
    played = play(chain(A, B, BACKUP), {A: HANGS, B: answers(0.5, "from b")}, patience={A: 1.0})

    assert played.starts == [(0.0, A), (1.0, B)]
    assert [attempt.why for attempt in played.answer.attempts] == [Why.NEXT, Why.FAILOVER]
    assert played.answer.attempts[0].outcome == TimedOut("silent for 1.50 s, far longer than it usually takes")


def test_no_budget_limits_a_failover() -> None:
    nothing = Allowance(retry=False, hedge=False)

    assert step(Running(A, 0.0, patience_s=1.0), now=1.0, allowance=nothing) == Start(B, Why.FAILOVER)


def test_the_silent_model_goes_on_and_can_still_win() -> None:
    played = play(chain(A, BACKUP), {A: answers(3.0, "from a"), BACKUP: HANGS}, patience={A: 1.0})

    assert (played.answer.result, played.finished) == ("from a", 3.0)


def test_behind_the_last_model_of_its_tier_the_backup_is_started() -> None:
    played = play(chain(A, B, BACKUP), {A: HANGS, B: HANGS, BACKUP: answers(1.0)}, patience={A: 1.0, B: 2.0})

    assert played.starts == [(0.0, A), (1.0, B), (3.0, BACKUP)]


def test_a_candidate_that_has_no_room_for_a_failover_is_passed_over() -> None:
    full = Part(Refused("at its limit of 2 at a time"))
    played = play(chain(A, B, BACKUP), {A: HANGS, B: full, BACKUP: answers(1.0)}, patience={A: 1.0})

    assert played.starts == [(0.0, A), (1.0, B), (1.0, BACKUP)]


def test_beside_a_suspected_model_the_next_one_is_started_at_once() -> None:
    assert step(Running(A, 0.0, suspected=True), now=0.0) == Start(B, Why.FAILOVER)
    beside = (Running(A, 0.0, suspected=True), Running(B, 0.0, Why.FAILOVER))
    assert isinstance(step(*beside, now=0.0), WaitUntil)


# --- the order of the chain -------------------------------------------------------------------------


def test_a_hedge_goes_to_the_next_candidate_and_not_to_the_backup() -> None:
    played = play(chain(A, B, BACKUP, hedge_after_s=2.0), {A: HANGS, B: answers(1.0, "from b")})

    assert played.starts == [(0.0, A), (2.0, B)]
    assert played.answer.attempts[1].why is Why.HEDGE


def test_a_hedge_that_fails_leaves_the_turn_to_the_model_beside_it() -> None:
    played = play(chain(A, B, BACKUP, hedge_after_s=2.0), {A: answers(4.0, "from a"), B: fails(0.5), BACKUP: HANGS})

    assert played.starts == [(0.0, A), (2.0, B)]
    assert played.answer.result == "from a"


def test_beside_a_probe_the_next_candidate_is_started_and_not_the_backup() -> None:
    assert step(Running(A, 0.0, probe=True), now=0.0) == Start(B, Why.BESIDE_PROBE)


def test_beside_a_probe_that_is_itself_beside_a_probe_somebody_else_is_started() -> None:
    probes = (Running(A, 0.0, probe=True), Running(B, 0.0, Why.BESIDE_PROBE, probe=True))

    assert step(*probes, now=0.0) == Start(BACKUP, Why.BESIDE_PROBE)


def test_an_extra_that_one_candidate_refuses_goes_to_the_following_one() -> None:
    refused = Allowance(skip=frozenset({B}))

    assert step(Running(A, 0.0, probe=True), now=0.0, allowance=refused) == Start(BACKUP, Why.BESIDE_PROBE)
    nobody = Allowance(skip=frozenset({B, BACKUP}))
    assert step(Running(A, 0.0, probe=True), now=0.0, allowance=nobody) == WaitUntil(CUT_OVER / 2)


def test_the_backup_joins_at_the_cut_over_though_a_fallback_is_at_work_on_it() -> None:
    played = play(chain(A, B, BACKUP), {A: HANGS, B: HANGS, BACKUP: answers(1.0)}, patience={A: 1.0})

    assert played.starts == [(0.0, A), (1.0, B), (CUT_OVER, BACKUP)]


# --- at work ----------------------------------------------------------------------------------------


def streamed(*candidates: Candidate, **options: object) -> FallbackChain:
    return chain(*candidates, first_content_s=8.0, reasoning_s=15.0, **options)


def test_a_model_at_work_is_waited_for_beyond_its_first_content_limit_and_its_share() -> None:
    for alive in (5.0, 9.5, 12.0):
        at_work = Running(A, 0.0, alive=alive)

        assert step(at_work, now=alive + 0.5, of=streamed(A, B, BACKUP)) == WaitUntil(min(alive + 8.0, 15.0))


def test_a_model_that_falls_silent_behind_its_work_has_the_next_one_started() -> None:
    assert step(Running(A, 0.0, alive=3.0), now=11.0, of=streamed(A, B, BACKUP)) == Start(B)


def test_a_sign_of_life_moves_the_silence_that_is_judged_by_history_as_well() -> None:
    at_work = Running(A, 0.0, alive=3.0, patience_s=2.0)

    assert step(at_work, now=4.0, of=streamed(A, B, BACKUP)) == WaitUntil(5.0)
    assert step(at_work, now=5.0, of=streamed(A, B, BACKUP)) == Start(B, Why.FAILOVER)


def test_reasoning_has_its_own_limit() -> None:
    assert step(Running(A, 0.0, alive=14.9), now=15.0, of=streamed(A, B, BACKUP)) == Start(B)


def test_whatever_it_is_at_the_backup_is_started_at_the_cut_over() -> None:
    patient = chain(A, BACKUP, first_content_s=8.0, reasoning_s=60.0)

    assert step(Running(A, 0.0, alive=19.9), now=CUT_OVER, of=patient) == Start(BACKUP, Why.CUT_OVER)


@pytest.mark.parametrize(
    ("alive", "name"), [(28.9, "cancelled"), (20.0, "timed_out"), (-math.inf, "timed_out")], ids=["at work", "", "dead"]
)
def test_only_a_model_that_was_at_work_to_the_end_is_not_charged_with_a_time_out(alive: float, name: str) -> None:
    patient = chain(A, first_content_s=8.0, reasoning_s=60.0)

    over = step(Running(A, 0.0, alive=alive), now=ANSWER_BY, of=patient)

    assert isinstance(over, Exhausted)
    assert over.trace[0].outcome.name == name


def test_reasoning_beyond_its_limit_is_a_time_out() -> None:
    endless = chain(A, first_content_s=8.0, reasoning_s=15.0)

    over = step(Running(A, 0.0, alive=28.9), now=ANSWER_BY, of=endless)

    assert isinstance(over, Exhausted)
    assert isinstance(over.trace[0].outcome, TimedOut)


def test_a_whole_answer_that_is_being_written_is_waited_for_as_well() -> None:
    assert step(Running(A, 0.0, alive=9.0), now=10.0) == WaitUntil(19.0)
    assert step(Running(A, 0.0), now=10.0) == Start(B)


def test_the_limits_of_one_model_go_before_the_policys() -> None:
    own = streamed(A, B, BACKUP, limits={"a": StreamLimits(first_content_s=12.0, reasoning_s=18.0)})

    assert own.per_try_end(A, 0.0, alive=1.0) == 13.0
    assert own.per_try_end(A, 0.0, alive=17.0) == 18.0
    assert own.per_try_end(BACKUP, 20.0) == 28.0
    alone = streamed(A, BACKUP, limits={"a": StreamLimits(first_content_s=14.0)})
    assert alone.per_try_end(A, 0.0) == 14.0
    assert streamed(A, BACKUP).per_try_end(A, 0.0) == 8.0


# --- what a caller imposes --------------------------------------------------------------------------


def test_a_short_deadline_is_no_measure_of_a_model() -> None:
    hurried = FallbackChain((A, BACKUP), Deadline.after(0.0, 1.0), usual_s=30.0)
    patient = FallbackChain((A, BACKUP), Deadline.after(0.0, 300.0), usual_s=30.0)

    assert hurried.usual_fair_s(A.tier) == pytest.approx(9.95)
    assert patient.usual_fair_s(A.tier) == patient.fair_s(A.tier)


# --- put behind -------------------------------------------------------------------------------------

BEHIND = Ended(A, 0.0, 0.0, Refused(PUT_BEHIND))


def test_a_model_that_is_put_behind_is_asked_once_everybody_else_has_failed() -> None:
    assert step(BEHIND, now=0.0) == Start(B)
    others = (BEHIND, Ended(B, 0.0, 1.0, Failed("boom")), Ended(BACKUP, 1.0, 2.0, Failed("boom")))
    assert step(*others, now=2.0) == Start(A, Why.BEHIND)
    assert isinstance(step(*others, Ended(A, 2.0, 3.0, Failed("boom"), Why.BEHIND), now=3.0), Exhausted)


def test_it_is_asked_before_anybody_is_waited_for() -> None:
    loading = Ended(B, 0.0, 0.0, Refused("it loads", soon=True))

    assert step(BEHIND, loading, Ended(BACKUP, 0.0, 0.0, Failed("boom")), now=1.0) == Start(A, Why.BEHIND)


def test_it_is_asked_beside_whoever_is_waited_for_as_the_cut_over_comes() -> None:
    waited_for = (BEHIND, Running(BACKUP, 0.0))

    assert step(*waited_for, now=1.0, of=chain(A, BACKUP)) == WaitUntil(CUT_OVER)
    assert step(*waited_for, now=CUT_OVER, of=chain(A, BACKUP)) == Start(A, Why.BEHIND)


def test_it_is_asked_beside_the_last_one_that_is_silent_for_too_long() -> None:
    silent = (BEHIND, Running(BACKUP, 0.0, patience_s=2.0))

    assert step(*silent, now=1.0, of=chain(A, BACKUP)) == WaitUntil(2.0)
    assert step(*silent, now=2.0, of=chain(A, BACKUP)) == Start(A, Why.BEHIND)


def test_it_is_asked_beside_the_last_one_of_a_stream_that_has_had_its_time() -> None:
    silent = (BEHIND, Running(BACKUP, 0.0))

    assert step(*silent, now=5.0, of=chain(A, BACKUP, first_content_s=5.0)) == Start(A, Why.BEHIND)


def test_it_is_not_asked_beside_anybody_while_others_have_not_been_asked() -> None:
    assert step(BEHIND, Running(B, 0.0, patience_s=1.0), now=1.0) == Start(BACKUP, Why.FAILOVER)


def test_of_several_the_next_one_is_asked_beside_the_one_before_once_that_is_silent() -> None:
    of = chain(A, B, BACKUP)
    both = (BEHIND, Ended(B, 0.0, 0.0, Refused(PUT_BEHIND)), Running(BACKUP, 0.0))
    first = (*both, Running(A, CUT_OVER, Why.BEHIND, patience_s=2.0))

    assert step(*first, now=21.0, of=of) == WaitUntil(22.0)
    assert step(*first, now=22.0, of=of) == Start(B, Why.BEHIND)


def test_only_refused_for_its_form_is_put_behind() -> None:
    others = (Ended(A, 0.0, 0.0, Refused("breaker open")), Ended(BACKUP, 0.0, 1.0, Cancelled("x")))

    assert not isinstance(step(*others, now=1.0, of=chain(A, BACKUP)), Start | AwaitReady)


def test_three_models_are_asked_in_their_order() -> None:
    played = play(chain(A, B, C), {A: HANGS, B: HANGS, C: answers()}, patience={A: 1.0, B: 1.0})

    assert played.starts == [(0.0, A), (1.0, B), (2.0, C)]


def test_a_candidate_that_refuses_a_failover_keeps_its_own_turn() -> None:
    silent = Running(A, 0.0, patience_s=1.0)

    assert step(silent, now=1.0, allowance=Allowance(skip=frozenset({B}))) == Start(BACKUP, Why.FAILOVER)
    nobody = Allowance(skip=frozenset({B, BACKUP}))
    assert step(silent, now=1.0, allowance=nobody) == WaitUntil(CUT_OVER / 2)
    assert step(silent, now=CUT_OVER / 2, allowance=nobody) == Start(B)
