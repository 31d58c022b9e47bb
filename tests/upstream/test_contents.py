"""Token counts and contents, in each form that providers give them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.outcome import Usage
from deployments.upstream.contents import Content, read_content, read_usage
from deployments.upstream.decoding import decode_json, decode_values

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=9), child, max_size=3),
    max_leaves=9,
)


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": 7, "completion_tokens": 17, "total_tokens": 24},
        {"prompt_tokens": "7", "completion_tokens": "17"},
        {"prompt_tokens": 7.0, "completion_tokens": 17.0, "total_tokens": None},
        {"prompt_tokens": 7, "total_tokens": 24},
        {"completion_tokens": 17, "total_tokens": "24"},
        {"prompt_tokens": 7, "completion_tokens": None, "total_tokens": 24},
        {"input_tokens": 7, "output_tokens": 17},
        {"promptTokenCount": 7, "candidatesTokenCount": 17},
        {"prompt_eval_count": 7, "eval_count": 17},
    ],
)
def test_counts_are_read_under_any_name_and_the_missing_one_is_the_rest(counts: Any) -> None:
    assert read_usage(counts) == Usage(7, 17)


@pytest.mark.parametrize(
    "counts",
    [
        None,
        [],
        {},
        {"total_tokens": 24},
        {"prompt_tokens": 7},
        {"prompt_tokens": 7, "completion_tokens": -1},
        {"prompt_tokens": 30, "total_tokens": 24},
        {"prompt_tokens": True, "completion_tokens": 17},
        {"prompt_tokens": float("nan"), "completion_tokens": "many"},
        {"prompt_tokens": 7.5, "completion_tokens": 1e300},
    ],
)
def test_counts_that_cannot_be_told_are_none(counts: Any) -> None:
    assert read_usage(counts) is None


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("Hi", Content("Hi")),
        (None, Content()),
        ([], Content()),
        (7, Content()),
        (["Hi", " you"], Content("Hi you")),
        ({"parts": [{"text": "Hi"}, {"text": "Hm", "thought": True}]}, Content("Hi", "Hm")),
        ([{"type": "text", "text": {"value": "Hi", "annotations": []}}], Content("Hi")),
        ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Hi"}], Content("Hi")),
        ([{"type": "refusal", "refusal": "No."}], Content(refusal="No.")),
    ],
)
def test_a_content_is_read_by_what_its_parts_are(content: Any, read: Content) -> None:
    assert read_content(content) == read


@given(JSON)
def test_nothing_that_is_json_makes_the_readers_raise(value: Any) -> None:
    assert isinstance(read_content(value), Content)
    assert read_usage(value) is None or isinstance(read_usage(value), Usage)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a": ' * 5000 + "1" + "}" * 5000, "9" * 5000, "Infinit", '{"a": 1}x', "\ud800"],
    ids=range(8),
)
def test_what_is_no_json_is_an_error_of_one_kind(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_json(text)
    with pytest.raises(ValueError, match=r"."):
        decode_values(text + "{")


def test_numbers_that_could_not_be_written_again_are_brought_into_bounds() -> None:
    huge = decode_json('{"a": NaN, "b": 123456789012345678901234567890, "c": 1' + "0" * 400 + "}")

    assert (huge["b"], huge["c"]) == (123456789012345678901234567890.0, None)
