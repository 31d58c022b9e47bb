"""Silence is judged by what a model usually takes, and what its caller imposes is no evidence against it."""

import math

import pytest

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import BreakerPolicy, Closed, Open
from deployments.policy.forms import BEHIND_FOR_FORM
from deployments.policy.hedging import HedgingPolicy
from deployments.policy.model_state import MOST_WITNESSES
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.quantile import WindowedQuantile
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.silence import Patience, SilencePolicy, patience_for_stream, patience_for_whole
from deployments.policy.terms import ANY_TERMS, Terms
from tests.policy.states import BACKUP, A, Told, a_guard, admit, attempt

PATIENCE = SilencePolicy(factor=3.0, least_seconds=0.5, min_samples=20)
STRICT = BreakerPolicy(failures=3)


def permit_of(resilience: ResilienceState, now: float, why: Why = Why.NEXT, terms: Terms = ANY_TERMS) -> Permit:
    permit = admit(resilience, now=now, why=why, terms=terms)
    assert isinstance(permit, Permit)
    return permit


def a_known_model(told: Told | None = None, answers: int = 100, seconds: float = 1.0) -> ResilienceState:
    """A model that has answered, with no text, and takes a second."""
    resilience = a_guard(ResiliencePolicy(STRICT, silence=PATIENCE), told)
    for number in range(answers):
        attempt(resilience, Answered(0.5), float(number), number + seconds)
    return resilience


def seen(*latencies: float) -> WindowedQuantile:
    window = WindowedQuantile()
    for seconds in latencies:
        window.add(seconds)
    return window


# --- the measure ------------------------------------------------------------------------------------


def test_a_silence_is_measured_by_the_model_and_not_by_its_caller() -> None:
    assert patience_for_stream(PATIENCE, seen(*[1.0] * 30), suspected=False).silent_s == 3.0
    assert patience_for_stream(PATIENCE, seen(*[20.0] * 30), suspected=False).silent_s == 60.0


def test_of_a_suspected_model_the_quantile_alone_is_waited_for() -> None:
    assert patience_for_stream(PATIENCE, seen(*[1.0] * 30), suspected=True).silent_s == 1.0


def test_however_fast_a_model_is_no_shorter_silence_counts() -> None:
    assert patience_for_stream(PATIENCE, seen(*[0.001] * 30), suspected=False).silent_s == 0.5
    assert patience_for_stream(PATIENCE, seen(*[0.001] * 30), suspected=True).silent_s == 0.5


def test_the_first_call_of_a_cold_model_is_not_the_measure() -> None:
    assert patience_for_stream(PATIENCE, seen(30.0, *[1.0] * 30), suspected=False).silent_s == 3.0


@pytest.mark.parametrize(
    ("policy", "answers"), [(PATIENCE, 19), (SilencePolicy(enabled=False), 100)], ids=["hardly known", "switched off"]
)
def test_no_silence_is_judged_of_a_model_that_is(policy: SilencePolicy, answers: int) -> None:
    assert math.isinf(patience_for_stream(policy, seen(*[1.0] * answers), suspected=False).silent_s)


def test_streams_are_measured_by_their_first_contents() -> None:
    resilience = a_known_model()

    assert permit_of(resilience, 200.0).patience.silent_s == 3.0
    assert math.isinf(permit_of(resilience, 200.0, terms=Terms(streamed=True)).patience.silent_s)


@pytest.mark.parametrize(
    ("token_s", "max_tokens", "failed_s"),
    [(0.05, 400, 60.0), (0.05, 20, 3.0), (0.05, None, math.inf), (None, None, 3.0), (None, 400, 3.0)],
    ids=["far more than usual", "as much as usual", "no bound", "no text", "no text, and a bound"],
)
def test_a_whole_answer_has_failed_once_it_takes_far_longer_than_what_was_asked(
    token_s: float | None, max_tokens: int | None, failed_s: float
) -> None:
    paces = seen(*([] if token_s is None else [token_s] * 30))

    patience = patience_for_whole(PATIENCE, seen(*[1.0] * 30), paces, max_tokens, suspected=False)

    assert patience.silent_s == 3.0
    assert patience.failed_s == pytest.approx(failed_s)


def test_the_length_of_a_text_is_no_excuse_for_a_stream() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT, silence=PATIENCE))
    for number in range(30):
        attempt(resilience, Answered("five tokens of a text"), number, number + 1.0)
        attempt(resilience, Answered("x"), number, number + 1.0, terms=Terms(streamed=True))

    assert permit_of(resilience, 200.0, terms=Terms(streamed=True)).patience == Patience(3.0, 3.0)
    assert permit_of(resilience, 200.0, terms=Terms(max_tokens=6000)).patience.failed_s == pytest.approx(3000.0)


# --- evidence ---------------------------------------------------------------------------------------


def test_attempts_that_are_silent_for_too_long_open_the_breaker_though_all_of_them_are_overtaken() -> None:
    told = Told()
    resilience = a_known_model(told)

    for at in (200.0, 210.0, 220.0):
        permit = permit_of(resilience, at)
        resilience.silent(permit)
        resilience.charge(permit, at + permit.patience.failed_s)
        resilience.record(permit, Cancelled("another tier answered first"), at + permit.patience.silent_s + 0.1)

    assert isinstance(resilience.state("a"), Open)
    assert told == [("a", "Closed", "Open", "silent for 1.00 s, far longer than it usually takes")]


def test_a_silence_counts_once_whatever_becomes_of_the_attempt() -> None:
    resilience = a_known_model()
    permit = permit_of(resilience, 200.0)

    resilience.silent(permit)
    resilience.charge(permit, 203.0)
    resilience.record(permit, Failed("reset"), 204.0)

    state = resilience.state("a")
    assert isinstance(state, Closed)
    assert state.failures == 1


def test_a_model_that_was_silent_is_suspected_until_it_answers() -> None:
    resilience = a_known_model()
    silent = permit_of(resilience, 200.0)
    resilience.silent(silent)
    assert permit_of(resilience, 203.0).suspected
    assert permit_of(resilience, 203.0).patience.silent_s == 1.0

    resilience.record(silent, Answered("x"), 204.0)

    assert not permit_of(resilience, 204.0).suspected


def test_a_burst_of_overtaken_attempts_that_the_model_then_answers_is_no_evidence() -> None:
    told = Told()
    resilience = a_known_model(told)
    permits = [permit_of(resilience, 200.0 + place / 100) for place in range(12)]

    for permit in permits:
        resilience.silent(permit)
        resilience.charge(permit, permit.started + 3.0)
    kept = [permit for permit in permits if resilience.runs_on(permit)]
    for permit in permits:
        resilience.record(permit, Answered("x") if permit in kept else Cancelled("overtaken"), 204.0)

    assert len(kept) == MOST_WITNESSES
    assert told == []
    state = resilience.state("a")
    assert isinstance(state, Closed)
    assert state.failures == 0


def test_of_those_that_are_overtaken_a_few_run_on_and_of_those_that_are_silent_as_many() -> None:
    resilience = a_known_model()
    permits = [permit_of(resilience, 200.0) for _ in range(6)]

    assert [resilience.runs_on(permit) for permit in permits] == [True, True, False, False, False, False]
    for permit in permits[:2]:
        resilience.charge(permit, 203.0)
        assert resilience.is_awaited(permit)
    assert resilience.runs_on(permits[2])
    resilience.charge(permits[2], 203.0)
    assert not resilience.is_awaited(permits[2])
    for permit in permits:
        resilience.record(permit, Cancelled("the end"), 210.0)
    assert resilience.runs_on(permit_of(resilience, 211.0))


def test_of_a_model_that_is_hardly_known_nobody_runs_on() -> None:
    resilience = a_guard()

    assert not resilience.runs_on(permit_of(resilience, 0.0))


def test_what_has_been_answered_for_is_no_demand_for_the_backup() -> None:
    resilience = a_known_model()
    permit = permit_of(resilience, 200.0)
    assert resilience.demand(203.0) == 1

    resilience.runs_on(permit)

    assert resilience.demand(203.0) == 0


def test_the_local_backup_is_not_judged() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=1), hedging=HedgingPolicy(), silence=PATIENCE))
    for number in range(30):
        attempt(resilience, Answered("x"), float(number), number + 1.0, BACKUP)
    permit = admit(resilience, BACKUP, 100.0)
    assert isinstance(permit, Permit)

    resilience.silent(permit)
    resilience.charge(permit, 110.0)

    assert isinstance(admit(resilience, BACKUP, 111.0), Permit)


# --- what a caller imposes --------------------------------------------------------------------------

CUT_SHORT = Blank("4 tokens, none of them visible (length)", cut=True)


@pytest.mark.parametrize(
    ("outcome", "terms", "opens"),
    [
        (CUT_SHORT, Terms(max_tokens=4), False),
        (CUT_SHORT, Terms(), True),
        (Blank(), Terms(max_tokens=4), True),
        (Blank(complete=True), Terms(steered=True), False),
        (Failed("half a call", cut=True), Terms(max_tokens=4), False),
        (Failed("not JSON", misfit=True), Terms(form="json_object"), False),
        (Failed("boom"), Terms(form="json_object", max_tokens=4, steered=True), True),
    ],
)
def test_what_a_model_cannot_do_within_its_callers_terms_is_no_evidence(
    outcome: Outcome, terms: Terms, *, opens: bool
) -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))

    for number in range(12):
        permit = admit(resilience, now=float(number), why=Why.BEHIND, terms=terms)
        if isinstance(permit, Refused):
            break
        resilience.record(permit, outcome, number + 0.5)

    assert isinstance(resilience.state("a"), Open) == opens


def test_a_model_that_ignores_a_form_is_put_behind_for_that_form_alone() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))
    for number in range(3):
        attempt(resilience, Failed("not JSON", misfit=True), number, number + 0.5, terms=Terms(form="json_schema"))

    assert admit(resilience, now=3.0, terms=Terms(form="json_schema")) == Refused(BEHIND_FOR_FORM)
    assert isinstance(admit(resilience, now=3.0, terms=Terms(form="tool_call")), Permit)
    assert isinstance(admit(resilience, now=3.0), Permit)
    assert isinstance(admit(resilience, Candidate(Tier.PRIMARY, "b"), 3.0, terms=Terms(form="json_schema")), Permit)
    assert isinstance(admit(resilience, now=3.0, why=Why.BEHIND, terms=Terms(form="json_schema")), Permit)
    assert resilience.describe("a")["behind"] == ["json_schema"]


def test_a_model_that_keeps_to_the_form_again_is_put_before_again() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))
    wanted = Terms(form="json_schema")
    for number in range(3):
        attempt(resilience, Failed("not JSON", misfit=True), number, number + 0.5, terms=wanted)

    probe = permit_of(resilience, 10.0, terms=wanted)
    assert probe.probe
    assert admit(resilience, now=10.0, terms=wanted) == Refused(BEHIND_FOR_FORM)
    resilience.record(probe, Answered("{}"), 11.0)

    assert not permit_of(resilience, 11.0, terms=wanted).probe
    assert "behind" not in resilience.describe("a")


def test_an_operators_reset_forgets_the_misfits_too() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))
    wanted = Terms(form="json_schema")
    for number in range(3):
        attempt(resilience, Failed("not JSON", misfit=True), number, number + 0.5, terms=wanted)

    resilience.reset("a")

    assert not permit_of(resilience, 3.0, terms=wanted).probe
    assert "behind" not in resilience.describe("a")


def test_an_answer_that_was_cut_by_its_caller_is_no_misfit() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))
    wanted = Terms(form="json_schema", max_tokens=4)
    for number in range(12):
        attempt(resilience, Failed("not JSON", misfit=True, cut=True), number, number + 0.5, terms=wanted)

    assert isinstance(admit(resilience, A, 20.0, terms=wanted), Permit)


def test_an_attempt_that_took_too_long_says_nothing_of_a_form() -> None:
    resilience = a_guard(ResiliencePolicy(STRICT))
    wanted = Terms(form="json_schema")
    for number in range(3):
        attempt(resilience, TimedOut("too slow"), number, number + 0.5, terms=wanted)

    assert "behind" not in resilience.describe("a")
