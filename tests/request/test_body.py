"""Python values that are small in memory and endless in JSON: they are refused before the encoder sees them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from deployments.request.native import from_python
from tests.request.test_refused import LIMITS, refusal_from_python

CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


@dataclass
class Pair:
    """What the encoder writes as an object of two fields."""

    left: Any
    right: Any


def doubled(pair: Callable[[Any, Any], Any], part: Any) -> Any:
    """The part twice, and that twice, and so on: ninety values in memory, and more in JSON than can be written."""
    for _ in range(90):
        part = pair(part, part)
    return part


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (CYCLE, "is nested too deeply"),
        (doubled(lambda left, right: [left, right], 1), "is too large"),
        (doubled(lambda left, right: {"left": left, "right": right}, True), "is too large"),
        (doubled(Pair, "x"), "is too large"),
        (["x" * 100_000] * 100_000, "is too large"),
    ],
    ids=["itself", "lists", "mappings", "dataclasses", "one text"],
)
def test_a_value_that_is_endless_in_json_is_refused(value: Any, said: str) -> None:
    problem = refusal_from_python({"input": value})

    assert (problem.field, problem.message) == ("body", said)


def test_a_value_that_stands_at_two_places_is_read_at_both() -> None:
    shared = [1.5, "x"]

    assert from_python({"input": [shared, Pair(shared, 1)]}, LIMITS).inputs["input"] == [
        [1.5, "x"],
        {"left": [1.5, "x"], "right": 1},
    ]


def test_a_number_that_json_lacks_is_found_in_a_dataclass() -> None:
    problem = refusal_from_python({"input": Pair(1, float("nan"))})

    assert (problem.field, problem.message) == ("input", "is nan, which JSON does not have")
