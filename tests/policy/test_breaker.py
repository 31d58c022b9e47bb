"""Every (state, event) of a breaker, one by one."""

import pytest

from deployments.policy.answer import Candidate, Tier
from deployments.policy.breaker import (
    BreakerPolicy,
    Breakers,
    BreakerState,
    Closed,
    Evidence,
    HalfOpen,
    Open,
    Permit,
    admit,
    evidence,
    record,
)
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, TimedOut

POLICY = BreakerPolicy(failures=3, open_s=10.0, probes=2)
NOW = 100.0

WELL = [Answered("x"), Answered(0, finish_reason="length")]
ILL = [Blank(), Failed("boom"), Failed("gone", transient=True), TimedOut("late")]
NOTHING = [Refused("queue full"), Cancelled("beaten")]


def by_name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(o, Evidence.WELL) for o in WELL] + [(o, Evidence.ILL) for o in ILL] + [(o, Evidence.NOTHING) for o in NOTHING],
)
def test_only_what_a_model_did_itself_is_evidence(outcome: Outcome, expected: Evidence) -> None:
    assert evidence(outcome) is expected


@pytest.mark.parametrize(
    ("before", "after", "permit"),
    [
        (Closed(4, 0), Closed(4, 0), Permit(4)),
        (Closed(4, 2), Closed(4, 2), Permit(4)),
        (Open(5, NOW), HalfOpen(6, probing=1), Permit(6)),
        (Open(5, NOW - 1), HalfOpen(6, probing=1), Permit(6)),
        (HalfOpen(6, probing=0), HalfOpen(6, probing=1), Permit(6)),
        (HalfOpen(6, probing=1), HalfOpen(6, probing=2), Permit(6)),
    ],
)
def test_an_attempt_is_admitted(before: BreakerState, after: BreakerState, permit: Permit) -> None:
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
    *((HalfOpen(6, 2), outcome, Open(7, NOW + 10.0)) for outcome in ILL),
    *((Open(5, NOW + 1), outcome, Open(5, NOW + 1)) for outcome in WELL + ILL + NOTHING),
]


@pytest.mark.parametrize(("before", "outcome", "after"), TRANSITIONS, ids=by_name)
def test_an_outcome_moves_the_state_that_admitted_its_attempt(
    before: BreakerState, outcome: Outcome, after: BreakerState
) -> None:
    assert record(before, POLICY, Permit(before.epoch), outcome, NOW) == after


@pytest.mark.parametrize("before", [Closed(4, 2), Open(5, NOW + 1), HalfOpen(6, 1)], ids=by_name)
@pytest.mark.parametrize("outcome", WELL + ILL + NOTHING, ids=by_name)
@pytest.mark.parametrize("away", [-3, -1, 1])
def test_an_outcome_says_nothing_about_a_state_that_did_not_admit_its_attempt(
    before: BreakerState, outcome: Outcome, away: int
) -> None:
    assert record(before, POLICY, Permit(before.epoch + away), outcome, NOW) == before


# --- the breakers of all models --------------------------------------------------------------------

A = Candidate(Tier.PRIMARY, "a")
BACKUP = Candidate(Tier.BACKUP, "backup")


class Told(list[tuple[str, str, str, str]]):
    """A listener that writes down what it hears."""

    def __call__(self, model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
        self.append((model, by_name(before), by_name(after), reason))


def attempt(breakers: Breakers, outcome: Outcome, now: float, candidate: Candidate = A) -> None:
    permit = breakers.admit(candidate, now)
    assert isinstance(permit, Permit)
    breakers.record(candidate, permit, outcome, now)


def test_a_listener_hears_of_every_transition_with_the_reason_of_its_attempt() -> None:
    told = Told()
    breakers = Breakers(BreakerPolicy(failures=2, open_s=10.0), told)

    attempt(breakers, Failed("first"), 0.0)
    attempt(breakers, Failed("second"), 0.0)
    attempt(breakers, Answered("x"), 10.0)

    assert told == [
        ("a", "Closed", "Open", "second"),
        ("a", "Open", "HalfOpen", "probing"),
        ("a", "HalfOpen", "Closed", ""),
    ]


def test_every_model_has_a_breaker_of_its_own() -> None:
    breakers = Breakers(BreakerPolicy(failures=1), Told())

    attempt(breakers, Failed("boom"), 0.0)

    assert isinstance(breakers.state("a"), Open)
    assert breakers.state("b") == Closed()


def test_the_backup_is_never_refused() -> None:
    told = Told()
    breakers = Breakers(BreakerPolicy(failures=1), told)

    for now in range(10):
        attempt(breakers, Failed("boom"), float(now), BACKUP)

    assert told == []
