"""The bounds of a body: its values are counted before anything walks them, Python values before they are encoded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError
from deployments.request.anthropic import messages_request
from deployments.request.body import MAX_VALUES, decode
from deployments.request.embeddings import embeddings_request
from deployments.request.native import from_body, from_python
from deployments.request.openai import chat_request
from tests.request.test_refused import LIMITS, refusal_from_python

WIDE = replace(LIMITS, max_bytes=16 << 20)

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


ROOM = MAX_VALUES - 2
"""Values that fit into a list in the object of a body."""

VALUES = {
    "lists": b"[]",
    "objects": b"{}",
    "texts": b'""',
    "nulls": b"null",
    "lists of numbers": b"[1]",
    "messages": b'{"role":"user","content":""}',
}
READERS: dict[str, Callable[..., Any]] = {
    "native": from_body,
    "chat": chat_request,
    "embeddings": embeddings_request,
    "messages": messages_request,
}


def a_body(value: bytes, number: int) -> bytes:
    return b'{"input":[%s]}' % b",".join([value] * number)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_body_of_more_values_than_may_be_walked_is_refused_by_the_bound(
    reader: Callable[..., Any], value: bytes
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        reader(a_body(value, ROOM + 1), WIDE)

    problem = refused.value.problem
    assert (problem.status, problem.field, problem.message) == (400, "body", "has too many values")
    assert str(MAX_VALUES) in problem.accepted


@pytest.mark.parametrize("value", [b"[]", b"{}", b'""', b"null", b"[1]"])
def test_as_many_values_as_may_be_walked_are_let_in(value: bytes) -> None:
    assert decode(a_body(value, ROOM), WIDE)["input"] == [orjson.loads(value)] * ROOM


def test_many_values_at_several_levels_are_counted_together() -> None:
    inner = b"[%s]" % b",".join([b"[]"] * (MAX_VALUES // 10))

    with pytest.raises(InvalidRequestError, match="too many values"):
        decode(a_body(inner, 10), WIDE)


@pytest.mark.parametrize(
    "data",
    [
        {"input": [list(range(1000)) for _ in range(MAX_VALUES // 500)]},
        {"text": '[{"null' * MAX_VALUES},
        {"text": '\\"' * MAX_VALUES, "input": [[]] * 200},
    ],
    ids=["numbers", "what stands in a text", "marks in a text"],
)
def test_numbers_and_what_stands_in_a_text_are_not_counted(data: Any) -> None:
    assert decode(orjson.dumps(data), WIDE) == data
