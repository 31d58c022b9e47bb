"""What bounds the check of an answer: its size before it is decoded, its steps, and the others that wait."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from deployments.execution import structured_output
from deployments.execution.checked_json import MAX_CHECKED_BYTES, MAX_CHECKED_VALUES, decode_answer
from deployments.execution.patterns import matches
from deployments.execution.schema_validator import find_violation
from deployments.execution.steps import MAX_STEPS, TooManyStepsError, steps
from deployments.execution.structured_output import MAX_SLOW, conform
from deployments.policy.outcome import Answered, Failed, Refused, TimedOut
from tests.execution.test_structured_output import OBJECT, wanting

LEVELS: dict[str, Any] = {"items": {"$ref": "#"}}
for _ in range(20):
    LEVELS = {"allOf": [LEVELS]}


@pytest.mark.parametrize("levels", [110, 340, 5000])
@pytest.mark.parametrize("schema", [{"type": "array"}, {"items": {"$ref": "#"}}, {"uniqueItems": True}])
async def test_an_answer_that_is_nested_too_deeply_is_a_misfit_like_any_other(
    levels: int, schema: Any, events: list[dict[str, Any]]
) -> None:
    outcome = await conform(Answered("[" * levels + "]" * levels), wanting(schema))

    assert isinstance(outcome, Failed)
    assert "does not fit" in outcome.reason
    assert not events


async def test_a_schema_of_many_levels_for_each_of_an_answers_is_given_up() -> None:
    assert isinstance(await conform(Answered("[" * 99 + "]" * 99), wanting(LEVELS)), Refused)


@pytest.mark.parametrize("demanded", [OBJECT, wanting({"type": "array"})])
@pytest.mark.parametrize(
    "answer",
    [
        '"' + "a" * MAX_CHECKED_BYTES + '"',
        '"' + "\u00e4" * (MAX_CHECKED_BYTES // 2) + '"',
        f"[{'[],' * MAX_CHECKED_VALUES}0]",
    ],
    ids=["characters", "bytes", "values"],
)
async def test_an_answer_that_is_too_large_to_be_checked_is_not_even_decoded(
    answer: str, demanded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was decoded"))

    outcome = await conform(Answered(answer), demanded)

    assert isinstance(outcome, Refused)
    assert "too large" in outcome.reason


def test_the_largest_answer_that_is_checked_is_decoded() -> None:
    steps.begin(MAX_STEPS)
    text = "a" * (MAX_CHECKED_BYTES - 2)

    assert decode_answer(f'"{text}"') == text
    assert len(decode_answer(f"[{'0,' * (MAX_CHECKED_VALUES - 3)}0]")) == MAX_CHECKED_VALUES - 2


class Held:
    """Stands in for the work of a check: one of the text `slow` takes long, until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, text: str, schema: bytes) -> str:
        if not text.startswith("slow"):
            return ""
        if steps.most < MAX_STEPS:
            raise TooManyStepsError
        self.begun.append(text)
        self.let_go.wait(10.0)
        return "it was slow"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    holding = Held()
    monkeypatch.setattr(structured_output, "find_fault", holding)
    yield holding
    holding.let_go.set()


def slow_checks(number: int) -> list[asyncio.Task[Answered | Failed | Refused | TimedOut]]:
    return [asyncio.ensure_future(conform(Answered(f"slow {place}"), OBJECT)) for place in range(number)]


async def test_a_quick_check_does_not_wait_for_the_slow_ones_before_it(held: Held) -> None:
    slow = slow_checks(MAX_SLOW)
    await asyncio.sleep(0)

    quick = await conform(Answered("quick"), OBJECT)

    assert isinstance(quick, Answered)
    assert not any(task.done() for task in slow)
    held.let_go.set()
    assert {type(outcome) for outcome in await asyncio.gather(*slow)} == {Failed}


async def test_no_more_slow_checks_than_a_few_wait_for_each_other(held: Held) -> None:
    slow = slow_checks(MAX_SLOW + 3)
    turned_away, waiting = await asyncio.wait(slow, timeout=0.5)

    assert len(waiting) == MAX_SLOW
    for task in turned_away:
        outcome = task.result()
        assert isinstance(outcome, Refused)
        assert outcome.transient
    held.let_go.set()
    await asyncio.wait(waiting)
    assert isinstance(await conform(Answered("slow again"), OBJECT), Failed), "the places are free again"


async def test_a_slow_check_whose_caller_has_gone_before_its_turn_is_never_begun(held: Held) -> None:
    slow = slow_checks(3)
    await asyncio.wait(slow, timeout=0.2)

    for task in slow[1:]:
        task.cancel()
    await asyncio.wait(slow[1:])
    held.let_go.set()

    assert isinstance(await slow[0], Failed)
    assert isinstance(await conform(Answered("slow 4"), OBJECT), Failed)
    assert held.begun == ["slow 0", "slow 4"]


async def test_a_bug_in_a_check_is_logged_and_is_no_evidence_against_the_model(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(structured_output, "find_violation", lambda *_: 1 / 0)

    outcome = await conform(Answered("{}"), wanting({"type": "object"}))

    assert isinstance(outcome, Refused)
    assert [(line["event"], line["where"]) for line in events] == [("internal_error", "conform")]


def test_the_work_of_a_comparison_is_counted_by_all_that_is_compared() -> None:
    constant = [[[0] * 1000] * 9]
    steps.begin(MAX_STEPS)

    with pytest.raises(TooManyStepsError):
        find_violation([constant] * 40, orjson.dumps({"items": {"const": constant}}))


def test_a_match_that_could_take_longer_than_a_whole_check_is_not_begun() -> None:
    rng = random.Random(1)  # noqa: S311 - a seed is the point
    bits = "".join(rng.choice("01") for _ in range(200_000))
    steps.begin(MAX_STEPS)
    began = time.thread_time()

    with pytest.raises(TooManyStepsError):
        matches("([01]*1[01]{900}x|[01]*1[01]{800}y)", bits)

    assert time.thread_time() - began < 0.5, "it would take seconds"
