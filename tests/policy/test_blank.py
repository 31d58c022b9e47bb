"""What counts as no answer at all (contract, part 1)."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.blank import is_blank

NAN = math.nan

BLANK: dict[str, Any] = {
    "none": None,
    "empty text": "",
    "spaces": "  \t\r\n",
    "no-break and ideographic spaces": "\u00a0\u2003\u3000",
    "line and paragraph separators": "\u2028\u2029",
    "control characters": "\x00\x07\x1b\x7f",
    "zero-width space, joiners and byte order mark": "\u200b\u200c\u200d\u2060\ufeff",
    "soft hyphen and direction marks": "\u00ad\u200e\u200f\u202a",
    "empty bytes": b"",
    "white-space bytes": b" \n",
    "control bytes": b"\x00\x1b",
    "white-space bytearray": bytearray(b"\t"),
    "empty list": [],
    "empty tuple": (),
    "empty mapping": {},
    "empty set": set(),
    "empty range": range(0),
    "list of blanks": [None, "", "  ", [], {}],
    "mapping of blanks": {"a": None, "b": {"c": [""]}},
    "tuple in set": {("", None)},
    "nan": NAN,
    "complex nan": complex(NAN, NAN),
    "list of nan": [NAN, [NAN]],
    "numpy nan": np.float32("nan"),
    "empty array": np.array([]),
    "array of shape (2, 0)": np.empty((2, 0)),
    "array of nan": np.full((2, 3), NAN),
    "0-d array of nan": np.array(NAN),
    "array of blank text": np.array(["", " "]),
    "array of blank objects": np.array([None, ""], dtype=object),
    "arrays of nan in a list": [np.array([NAN]), np.array([[NAN], [NAN]])],
    "empty tensor": torch.empty(0),
    "tensor of nan": torch.full((2, 2), NAN),
    "0-d tensor of nan": torch.tensor(NAN),
    "half-precision tensor of nan": torch.tensor([NAN], dtype=torch.bfloat16),
    "tensor that needs a gradient": torch.full((2,), NAN, requires_grad=True),
}

ANSWERS = {
    "zero": 0,
    "zero point zero": 0.0,
    "minus zero": -0.0,
    "false": False,
    "infinity": math.inf,
    "complex infinity": complex(NAN, math.inf),
    "text zero": "0",
    "one full stop": ".",
    "text after white space": " \n\u200bx",
    "an emoji": "🙂",
    "joined emoji": "👩\u200d🚀",
    "the word null": "null",
    "bytes": b"\x00a",
    "list with one answer": [None, "", 0],
    "deep answer": {"a": [{"b": (None, False)}]},
    "range": range(1),
    "a set": {0},
    "array with one number": np.array([NAN, 0.0]),
    "0-d array": np.array(0),
    "array of false": np.array([False]),
    "array of text": np.array(["", "x"]),
    "tensor": torch.zeros(1),
    "0-d tensor": torch.tensor(0),
    "half-precision tensor": torch.tensor([0.5], dtype=torch.bfloat16),
    "an object of its own kind": object(),
}


@pytest.mark.parametrize("value", BLANK.values(), ids=BLANK.keys())
def test_a_value_with_nothing_in_it_is_blank(value: Any) -> None:
    assert is_blank(value)


@pytest.mark.parametrize("value", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_value_with_anything_in_it_is_an_answer(value: Any) -> None:
    assert not is_blank(value)


def test_the_keys_of_a_mapping_are_no_answer() -> None:
    assert is_blank({"result": ""})


def test_nesting_far_beyond_the_recursion_limit_is_walked() -> None:
    blank: list[Any] = []
    answer: list[Any] = ["x"]
    for _ in range(100_000):
        blank, answer = [blank], [answer]

    assert is_blank(blank)
    assert not is_blank(answer)


def test_a_blank_collection_that_contains_itself_is_blank() -> None:
    value: dict[str, Any] = {"text": ""}
    value["self"] = [value]

    assert is_blank(value)


def test_an_answer_beside_a_collection_that_contains_itself_is_found() -> None:
    value: list[Any] = ["x"]
    value.append(value)

    assert not is_blank(value)


def test_a_collection_that_occurs_twice_is_judged_once_for_all() -> None:
    shared = ["", ""]

    assert is_blank([shared] * 3)
    assert not is_blank([shared, shared, 1])


@pytest.mark.parametrize("blanks", [1, 2, 3])
@pytest.mark.parametrize("of", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_an_array_before_blank_arrays_is_found(of: Callable[[list[float]], Any], blanks: int) -> None:
    # Their lists are made during the walk: one can get the address, and so the id, of one that is gone.
    outputs = [of([1.0]), *(of([NAN]) for _ in range(blanks))]

    assert [is_blank(outputs) for _ in range(20)] == [False] * 20


LEAVES_BLANK = st.sampled_from([None, "", " ", NAN, b"", "\u200b"]) | st.builds(
    lambda shape: np.full(shape, NAN), st.sampled_from([(), (1,), (2,), (1, 2), (0,)])
)
LEAVES = LEAVES_BLANK | st.sampled_from([0, False, "x", math.inf]) | st.builds(np.array, st.just([1.0]))


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=2), inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
        ),
        max_leaves=12,
    )


@given(_nested(LEAVES_BLANK))
def test_a_nested_value_of_blank_leaves_is_blank(value: Any) -> None:
    assert is_blank(value)


@given(_nested(LEAVES))
def test_a_nested_value_is_blank_exactly_if_all_its_leaves_are(value: Any) -> None:
    assert is_blank(value) == all(map(is_blank, _leaves(value)))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.flat)
    if isinstance(value, (list, tuple, dict)):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for child in inner for leaf in _leaves(child)]
    return [value]


@given(st.text())
def test_text_of_printable_characters_is_an_answer(text: str) -> None:
    if any(ch.isprintable() and not ch.isspace() for ch in text):
        assert not is_blank(text)
