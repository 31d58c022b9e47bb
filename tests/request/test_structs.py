"""Structs of requests: what does not fit is refused by its place, with what was sent and what is accepted."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, ValidationError, convert

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import structs
from deployments.request.structs import read_struct

Even = Annotated[int, Meta(ge=0, le=8, extra={"one": "a small number", "many": "small numbers"})]
Short = Annotated[str, Meta(min_length=1, max_length=3)]


class Inner(Struct):
    name: Annotated[str, Meta(pattern="^[a-z]+$", extra={"accepted": "letters"})]
    flag: bool = False


class Body(Struct):
    count: Annotated[int, Meta(ge=1, le=5)] | None = None
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    least: Annotated[float, Meta(ge=0.5)] = 1.0
    most: Annotated[int, Meta(le=3)] = 0
    stop: Short | Annotated[list[Short], Meta(max_length=3)] = "a"
    weights: Annotated[dict[Short, Annotated[float, Meta(ge=-1, le=1)]], Meta(max_length=2)] = {}
    kind: Literal["a", "b", "c"] = "a"
    numbers: Annotated[list[Even], Meta(min_length=1)] = []
    inner: Inner | None = None
    inners: list[Inner] = []
    anything: Any = None


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read_struct(body, Body)
    return caught.value.problem


@pytest.mark.parametrize(
    ("body", "field", "told", "accepted"),
    [
        ({"count": 6}, "count", "is out of range", "a whole number from 1 to 5"),
        ({"count": True}, "count", "is true or false", "a whole number from 1 to 5"),
        ({"count": 1.0}, "count", "is a number", "a whole number from 1 to 5"),
        ({"share": 0}, "share", "is out of range", "a number above 0 and at most 1"),
        ({"share": 10**400}, "share", "is out of range", "a number above 0 and at most 1"),
        ({"least": 0}, "least", "is out of range", "a number from 0.5 on"),
        ({"most": 4}, "most", "is out of range", "a whole number of at most 3"),
        ({"kind": "d"}, "kind", "is none that is known here", "a, b or c"),
        ({"kind": 5}, "kind", "is a number", "a, b or c"),
        (
            {"stop": "long"},
            "stop",
            "has 4 characters",
            "a text of 1 to 3 characters, or a list of at most 3 texts of 1 to 3 characters",
        ),
        ({"stop": ["a"] * 4}, "stop", "has 4 entries", None),
        ({"stop": {}}, "stop", "is an object", None),
        ({"stop": ["a", "b", ""]}, "stop[2]", "is an empty text (entry 3 of 3)", "a text of 1 to 3 characters"),
        ({"stop": ["a", None]}, "stop[1]", "is missing (entry 2 of 2)", None),
        ({"numbers": []}, "numbers", "is an empty list", "a list of at least 1 small numbers"),
        ({"numbers": [1, 9]}, "numbers[1]", "is out of range (entry 2 of 2)", "a small number"),
        ({"weights": {"a": 1, "b": 2}}, "weights.b", "is out of range (entry 2 of 2)", "a number from -1 to 1"),
        (
            {"weights": {"long": 1}},
            "weights",
            "has 4 characters as a name (entry 1 of 1)",
            "an object of at most 2 names to numbers from -1 to 1",
        ),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "weights", "has 3 fields", None),
        ({"inner": {"flag": True}}, "inner.name", "is missing", "letters"),
        ({"inner": {"name": "A"}}, "inner.name", "is a text of another form", "letters"),
        ({"inners": [{"name": "a"}, {"name": "a", "flag": 1}]}, "inners[1].flag", "is a number", "true or false"),
        ({"inners": [5]}, "inners[0]", "is a number (entry 1 of 1)", "an object with `name` or `flag`"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place_with_what_was_sent_and_what_is_accepted(
    body: dict[str, Any], field: str, told: str, accepted: str | None
) -> None:
    problem = refused(**body)

    assert (problem.field, problem.message) == (field, told)
    assert accepted in (None, problem.accepted)


def test_a_field_that_is_null_counts_as_not_sent() -> None:
    assert read_struct({"share": None, "count": None, "stop": None}, Body) == Body()
    with pytest.raises(InvalidRequestError, match=r"x\.name is missing"):
        read_struct({"name": None}, Inner, "x")


def test_a_long_list_is_explained_without_a_walk_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def watched(kind: Any, value: Any, place: str, *more: Any, **named: Any) -> Any:
        looked_at.append(place)
        return faults(kind, value, place, *more, **named)

    faults = structs._faults
    monkeypatch.setattr(structs, "_faults", watched)

    assert refused(share=1, numbers=[1] * 10_000 + [9]).field == "numbers[10000]"
    assert looked_at == ["numbers", "numbers[10000]"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats(-1, 2) | st.sampled_from(["", "a", "b", "abcd", "A"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "flag", "a"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(Body.__struct_fields__), _VALUES, max_size=3))
def test_whatever_does_not_fit_is_explained_in_our_words(body: dict[str, Any]) -> None:
    sent = {name: value for name, value in body.items() if value is not None}
    try:
        expected: Body | None = convert(sent, Body)
    except ValidationError:
        expected = None

    if expected is None:
        assert refused(**body).message != "is not valid"
    else:
        assert read_struct(body, Body) == expected
