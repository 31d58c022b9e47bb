"""Whose fault a rejected request is: the caller's at once, only if nobody takes it, or not at all by the policy."""

import pytest

from deployments.policy.attempt import Ended, Why
from deployments.policy.impossible import NOT_LOOKED
from deployments.policy.next_step import next_step
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Failed, Outcome, Refused, Rejected
from deployments.policy.step import Exhausted, Reject
from tests.policy.simulation import BACKUP, A, B, Part, answers, fails, play
from tests.policy.test_chain_extras import chain

LONG = Part(Rejected("it has 9 tokens and may have 8", "messages", "context_length_exceeded", elsewhere=True))
CONTENT = Part(Rejected("against its policy", "messages", "content_policy_violation", content=True))
INVALID = Part(Rejected("no such field", "temperature"))
WITHHELD = Part(Answered("withheld", finish_reason="content_filter"))


def test_a_request_that_is_too_long_for_one_model_is_asked_of_the_others() -> None:
    played = play(chain(A, B, BACKUP), {A: LONG, B: LONG, BACKUP: answers(1.0, "from the backup")})

    assert played.answer.result == "from the backup"
    assert played.outcomes == [("a", "rejected"), ("b", "rejected"), ("backup", "answered")]


@pytest.mark.parametrize("others", [LONG, fails(), Part(Refused("full"))])
def test_a_request_that_is_too_long_and_that_nobody_answers_is_the_callers(others: Part) -> None:
    played = play(chain(A, B, BACKUP), {A: LONG, B: others, BACKUP: others})

    assert played.rejected == LONG.outcome
    assert len(played.trace) == 3


def test_a_request_that_is_too_long_for_a_fallback_only_is_not_the_callers() -> None:
    played = play(chain(A, B), {A: fails(), B: LONG})

    assert played.rejected is None
    assert played.answer.model == "last_resort"


def test_a_request_that_is_too_long_is_not_asked_again_of_the_same_model() -> None:
    assert [candidate for _, candidate in play(chain(A), {A: LONG}).starts] == [A]


@pytest.mark.parametrize(
    ("first", "is_callers"),
    [
        (Refused(UNKNOWN_MODEL), True),
        (Refused(NOT_LOOKED, soon=True), True),
        (Refused("not ready: it loads", soon=True), False),
        (Refused("busy", transient=True), False),
        (Failed("it broke", transient=True), False),
    ],
)
def test_only_a_model_that_was_not_there_when_it_was_asked_for_is_the_callers_mistake(
    first: Outcome, *, is_callers: bool
) -> None:
    asked = [Ended(A, 0.0, 0.0, first, Why.NEXT), Ended(A, 0.1, 0.1, Refused(UNKNOWN_MODEL), Why.RETRY)]

    last = next_step(chain(A), asked, 0.2)

    assert isinstance(last, Reject if is_callers else Exhausted)


def test_a_request_that_is_rejected_for_its_content_is_the_callers_at_once() -> None:
    played = play(chain(A, B, BACKUP), {A: CONTENT, B: answers(), BACKUP: answers()})

    assert played.rejected == CONTENT.outcome
    assert len(played.starts) == 1


@pytest.mark.parametrize("rescue", ["rescue_content", "rescue_rejected", "rescue_withheld"])
def test_each_kind_is_rescued_by_its_own_rule(rescue: str) -> None:
    rescued = {"rescue_content": CONTENT, "rescue_rejected": INVALID, "rescue_withheld": WITHHELD}
    for rule, part in rescued.items():
        played = play(chain(A, BACKUP, **{rescue: True}), {A: part, BACKUP: answers(1.0, "from the backup")})
        got_through = played.rejected is None and played.answer.result == "from the backup"
        assert got_through is (rule == rescue), rule


def test_a_rescued_attempt_says_so_in_the_trace() -> None:
    withheld = Ended(A, 0.0, 1.0, WITHHELD.outcome, rescued=True).to_json()
    rejected = Ended(A, 0.0, 1.0, CONTENT.outcome, rescued=True).to_json()

    assert (withheld["outcome"], withheld["rescued"], withheld["reason"]) == (
        "withheld",
        True,
        "its content filter withheld the answer",
    )
    assert (rejected["outcome"], rejected["rescued"], rejected["code"]) == (
        "rejected",
        True,
        "content_policy_violation",
    )


def test_what_is_not_rescued_says_nothing_of_it() -> None:
    assert "rescued" not in Ended(A, 0.0, 1.0, INVALID.outcome).to_json()
    assert Ended(A, 0.0, 1.0, WITHHELD.outcome).to_json()["outcome"] == "answered"
