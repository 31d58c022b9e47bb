"""The rules of `next_step`, for any chain, any outcomes and any durations."""

import math
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.allowance import EVERYTHING, Allowance
from deployments.policy.attempt import Candidate, Running, Tier, Why
from deployments.policy.blank import is_blank
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.next_step import _step_tiers, next_step
from deployments.policy.outcome import Answered
from deployments.policy.step import Accept, Exhausted, Start, WaitUntil
from tests.policy.simulation import BACKUP, LAST_RESORT_MESSAGE, A, B, Played, plays


@given(plays())
def test_every_chain_ends_with_an_answer_that_is_not_blank(played: Played) -> None:
    assert not is_blank(played.answer.result)


@given(plays())
def test_no_answer_comes_after_answer_by(played: Played) -> None:
    assert played.finished <= played.chain.deadline.answer_by


@given(plays())
def test_nothing_is_waited_for_beyond_answer_by(played: Played) -> None:
    waits = [step.time for _, step in played.steps if isinstance(step, WaitUntil)]

    assert all(time <= played.chain.deadline.answer_by for time in waits)


@given(plays())
def test_every_candidate_is_asked_at_most_once(played: Played) -> None:
    asked = [candidate for _, candidate in played.starts]

    assert len(asked) == len(set(asked))


@given(plays())
def test_nobody_is_asked_before_those_of_its_tier_that_are_better(played: Played) -> None:
    for tier in Tier:
        asked = [candidate for _, candidate in played.starts if candidate.tier is tier]
        assert asked == [candidate for candidate in played.chain.candidates if candidate.tier is tier][: len(asked)]


@given(plays())
def test_the_trace_holds_each_attempt_once_in_the_order_of_their_starts(played: Played) -> None:
    trace = [(attempt.started, attempt.candidate) for attempt in played.answer.attempts]

    assert trace == played.starts


@given(plays())
def test_an_attempt_ends_after_it_started_and_before_the_answer(played: Played) -> None:
    for attempt in played.answer.attempts:
        assert attempt.started <= attempt.ended <= played.finished


@given(plays())
def test_an_attempt_that_ended_by_itself_keeps_its_outcome_in_the_trace(played: Played) -> None:
    told = {attempt.candidate: attempt for attempt in played.answer.attempts}

    for end, candidate, outcome in played.ends:
        if end < played.finished:
            assert (told[candidate].outcome, told[candidate].ended) == (outcome, end)


@given(plays())
def test_the_first_acceptable_answer_wins(played: Played) -> None:
    acceptable = [
        (end, candidate, outcome)
        for end, candidate, outcome in played.ends
        if isinstance(outcome, Answered) and end <= played.finished
    ]

    if not acceptable:
        assert played.answer.served_by is Tier.LAST_RESORT
        assert played.answer.result == LAST_RESORT_MESSAGE
        return
    first = acceptable[0][0]
    winners = [(c.tier, c.model, outcome.result) for end, c, outcome in acceptable if end == first]
    assert (played.answer.served_by, played.answer.model, played.answer.result) in winners
    assert played.finished == first


@given(plays())
def test_an_answer_is_degraded_exactly_if_it_is_not_the_first_candidates(played: Played) -> None:
    first = [(c.tier, c.model) for c in played.chain.candidates[:1]]

    assert played.answer.degraded == ((played.answer.served_by, played.answer.model) not in first)


@given(plays())
def test_the_backup_is_started_by_cut_over_unless_an_answer_has_come(played: Played) -> None:
    if BACKUP in played.chain.candidates and played.finished > played.chain.deadline.cut_over:
        assert played.started(BACKUP) <= played.chain.deadline.cut_over


@given(plays())
def test_the_failure_of_the_newest_attempt_starts_the_next_candidate_with_no_delay(played: Played) -> None:
    starts = played.starts
    for place, (_, candidate) in enumerate(starts):
        end = next(end for end, ended, _ in played.ends if ended == candidate)
        overtaken = place + 1 < len(starts) and starts[place + 1][0] <= end
        if end < played.finished and not overtaken and len(starts) < len(played.chain.candidates):
            assert place + 1 < len(starts), f"{candidate} failed at {end} and nobody was asked in its place"
        if end < played.finished and not overtaken and place + 1 < len(starts):
            assert starts[place + 1][0] == end


@given(plays())
def test_while_there_is_time_the_last_resort_waits_until_all_were_asked_and_have_ended(played: Played) -> None:
    if played.answer.served_by is Tier.LAST_RESORT and played.finished < played.chain.deadline.answer_by:
        assert len(played.starts) == len(played.chain.candidates)
        assert all(end <= played.finished for end, _, _ in played.ends)


@given(plays())
def test_an_attempt_cut_off_by_the_last_resort_has_timed_out(played: Played) -> None:
    if played.answer.served_by is not Tier.LAST_RESORT:
        return
    still_running = {candidate for end, candidate, _ in played.ends if end > played.finished}

    told = {attempt.candidate: attempt.outcome.name for attempt in played.answer.attempts}
    assert {told[candidate] for candidate in still_running} <= {"timed_out"}


@given(plays())
def test_a_step_changes_nothing_it_was_given(played: Played) -> None:
    attempts = list(played.answer.attempts)
    before = tuple(attempts)

    step = next_step(played.chain, attempts, played.finished)

    assert isinstance(step, (Accept, Exhausted, Start, WaitUntil))
    assert tuple(attempts) == before


@given(plays(), st.floats(-1.0, 40.0))
def test_the_short_way_to_the_first_step_gives_what_the_long_way_gives(played: Played, after: float) -> None:
    chain, now = played.chain, played.chain.deadline.start + after
    if now < chain.deadline.answer_by:
        assert next_step(chain, (), now, EVERYTHING) == _step_tiers(chain, (), now, EVERYTHING)


def test_the_short_way_beside_an_only_attempt_gives_what_the_long_way_gives() -> None:
    chains = [(A,), (A, B), (A, B, BACKUP), (A, BACKUP), (BACKUP,)]
    asked = [(chain, candidate) for chain in chains for candidate in chain]
    yes_or_no, seconds = (False, True), (2.0, math.inf)
    attempts = product(asked, (0.0, 25.0), (Why.NEXT, Why.CUT_OVER), yes_or_no, yes_or_no, yes_or_no, seconds)
    for (candidates, candidate), started, why, probe, suspected, alive, patience_s in attempts:
        for after, hedge_s, hedge, skip in product((0.5, 4.5), seconds, yes_or_no, (frozenset[Candidate](), {B})):
            chain = FallbackChain(candidates, Deadline(0.0, 30.0), hedge_after_s=hedge_s)
            heard, now = started + 0.25 if alive else -math.inf, started + after
            running = Running(candidate, started, why, probe, suspected, heard, patience_s)
            allowance = Allowance(hedge=hedge, skip=frozenset(skip))
            assert next_step(chain, [running], now, allowance) == _step_tiers(chain, [running], now, allowance)
