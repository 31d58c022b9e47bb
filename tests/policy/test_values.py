"""Forbidden states of outcome, answer and chain cannot be built."""

import math
from typing import Any

import pytest

from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.last_resort import LastResort
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Refused, TimedOut, Usage, answered_or_blank

A, B = Candidate(Tier.PRIMARY, "a"), Candidate(Tier.PRIMARY, "b")
BACKUP = Candidate(Tier.BACKUP, "backup")
DEADLINE = Deadline(0.0, 30.0)

BLANKS: list[Any] = [None, "", " \u200b", [], {"a": None}, math.nan]


@pytest.mark.parametrize("result", BLANKS)
def test_an_answered_outcome_cannot_be_blank(result: Any) -> None:
    with pytest.raises(ValueError, match="not blank"):
        Answered(result)


@pytest.mark.parametrize("result", BLANKS)
def test_an_answer_cannot_be_blank(result: Any) -> None:
    with pytest.raises(ValueError, match="not blank"):
        Answer(result, "a", Tier.PRIMARY, degraded=False, attempts=())


@pytest.mark.parametrize("message", ["", "\n", "\u200b"])
def test_a_last_resort_cannot_have_a_blank_message(message: str) -> None:
    with pytest.raises(ValueError, match="last-resort message is not blank"):
        LastResort(message)


def test_a_chain_cannot_ask_a_candidate_twice() -> None:
    with pytest.raises(ValueError, match="once"):
        FallbackChain((A, B, A), DEADLINE)


@pytest.mark.parametrize(
    "candidates",
    [(BACKUP, A), (A, BACKUP, B), (Candidate(Tier.LAST_RESORT, "x"),), (A, Candidate(Tier.LAST_RESORT, "x"))],
)
def test_a_chain_cannot_have_its_tiers_out_of_order(candidates: tuple[Candidate, ...]) -> None:
    with pytest.raises(ValueError, match="primary tier first, then the backup"):
        FallbackChain(candidates, DEADLINE)


@pytest.mark.parametrize("candidates", [(), (A,), (BACKUP,), (A, B), (A, B, BACKUP)])
def test_a_chain_in_order_can_be_built(candidates: tuple[Candidate, ...]) -> None:
    assert FallbackChain(candidates, DEADLINE).candidates == candidates


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (0.0, math.nan), (math.nan, 1.0)])
def test_a_deadline_cannot_end_before_it_starts(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        Deadline(start, end)


@pytest.mark.parametrize(
    "value",
    [
        Answered("x"),
        Blank(),
        A,
        DEADLINE,
        Answer("x", "a", Tier.PRIMARY, degraded=False, attempts=()),
        FallbackChain((A,), DEADLINE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_cannot_be_changed_after_it_was_built(value: Any) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, value.__struct_fields__[0], None)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "the model returned None"),
        ("", "the model returned an empty string"),
        (" \n", "the model returned only white space"),
        ({}, "the model returned an empty object"),
        ({"a": ""}, "the model returned an object with nothing but blank values"),
        ([], "the model returned an empty list"),
        ([None], "the model returned a list with nothing but blank values"),
        (math.nan, "the model returned a blank float"),
    ],
)
def test_a_blank_result_is_judged_blank_with_its_reason(result: Any, reason: str) -> None:
    assert answered_or_blank(result) == Blank(reason)


def test_a_blank_result_keeps_the_reason_its_model_gives() -> None:
    assert answered_or_blank("", finish_reason="length") == Blank("the model returned an empty string", cut=True)
    assert answered_or_blank("", empty_reason="the prompt was cut") == Blank("the prompt was cut")


@pytest.mark.parametrize("result", [0, False, "0", [0], {"a": 0.0}])
def test_a_result_that_is_not_blank_is_judged_an_answer(result: Any) -> None:
    assert answered_or_blank(result, Usage(1, 2), "length") == Answered(result, Usage(1, 2), "length")


def test_usage_counts_the_total() -> None:
    assert Usage(3, 4).to_json() == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("outcome", "name", "reason"),
    [
        (Answered("x"), "answered", ""),
        (Blank(), "blank", "the model returned nothing"),
        (Failed("boom"), "failed", "boom"),
        (TimedOut("late"), "timed_out", "late"),
        (Refused("full"), "refused", "full"),
        (Cancelled("beaten"), "cancelled", "beaten"),
    ],
)
def test_an_attempt_is_told_with_tier_model_outcome_reason_and_milliseconds(
    outcome: Any, name: str, reason: str
) -> None:
    assert Ended(A, 1.0, 1.25, outcome).to_json() == {
        "tier": "primary",
        "model": "a",
        "why": "next",
        "outcome": name,
        "reason": reason,
        "ms": 250.0,
    }


def test_an_answer_says_who_served_it_and_what_happened_before() -> None:
    answer = Answer("x", "b", Tier.BACKUP, degraded=True, attempts=(Ended(A, 0.0, 1.0, Blank()),), usage=Usage(1, 2))

    told = answer.to_json("id-1")

    assert told["result"] == "x"
    assert (told["model"], told["served_by"], told["degraded"]) == ("b", "backup", True)
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["blank"]
    assert (told["request_id"], told["finish_reason"]) == ("id-1", "stop")
    assert told["usage"]["total_tokens"] == 3
