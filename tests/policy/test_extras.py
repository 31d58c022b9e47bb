"""What comes beside an answer, in parts, is one whole in the end."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from deployments.policy.extras import NO_EXTRAS, Extras, combine, join_pieces, merge, merge_all
from deployments.policy.outcome import Answered, Finished, stream_to_outcome


def test_texts_and_lists_that_come_in_parts_are_joined() -> None:
    parts = [
        Extras(message={"reasoning_content": "Let me "}, choice={"logprobs": {"content": [{"token": "a"}]}}),
        Extras(message={"reasoning_content": "see.", "annotations": []}),
        Extras(choice={"logprobs": {"content": [{"token": "b"}], "refusal": None}}),
    ]

    whole = combine(parts)

    assert whole.message == {"reasoning_content": "Let me see.", "annotations": []}
    assert whole.choice == {"logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}


def test_fields_of_the_completion_and_token_counts_that_are_told_twice_stand_once() -> None:
    parts = [Extras(body={"system_fingerprint": "fp"}, usage={"prompt_tokens": 1})] * 2

    assert combine(parts) == parts[0]
    assert not combine([])
    assert combine([]) == NO_EXTRAS


def test_a_stream_read_as_a_whole_has_all_extras_of_its_parts_and_of_its_end() -> None:
    early, late = Extras(message={"reasoning": "Hm."}), Extras(body={"service_tier": "flex"})

    outcome = stream_to_outcome("Hi", Finished(extras=late), [early])

    assert isinstance(outcome, Answered)
    assert outcome.extras == Extras(message={"reasoning": "Hm."}, body={"service_tier": "flex"})


INDEXED: list[dict[str, Any]] = [
    {"reasoning_details": [{"index": 0, "type": "reasoning.text", "format": "x", "text": "Let "}]},
    {"reasoning_details": [{"index": 1, "type": "reasoning.summary", "summary": "S"}]},
    {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "me"}, {"index": 1, "summary": "o."}]},
    {"audio": {"id": "a", "transcript": "Hi"}, "role": "assistant"},
    {"audio": {"transcript": " you"}, "content_tags": ["x"]},
    {"content_tags": ["y"]},
]


def test_lists_of_pieces_are_joined_by_their_index_as_openais_own_client_does() -> None:
    reference: dict[object, object] = {}
    for piece in copy.deepcopy(INDEXED):
        reference = accumulate_delta(reference, piece)  # type: ignore[arg-type]

    assert join_pieces(INDEXED) == reference


def test_ids_and_types_that_come_with_each_piece_are_not_joined() -> None:
    piece = {"id": "a", "type": "t", "format": "f", "role": "assistant", "index": 0, "text": "x"}

    assert join_pieces([piece, piece]) == {**piece, "text": "xx"}


def test_fields_of_a_choice_that_come_with_each_piece_count_once() -> None:
    parts = [Extras(choice={"stop_reason": "eos", "content_filter_results": {"hate": {"filtered": False}}})] * 3

    assert combine(parts) == parts[0]


@pytest.mark.parametrize("depth", [5, 900])
def test_no_depth_makes_the_join_fail(depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = {"a": [{"index": 0, "b": deep}]}

    assert join_pieces([deep, deep]).keys() == {"a"}


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, 0, 1, "a", []]), lambda inner: st.dictionaries(st.sampled_from("ab"), inner), max_leaves=6
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), max_size=5))
def test_fields_that_are_merged_at_once_are_those_that_are_merged_one_by_one(objects: list[dict[str, Any]]) -> None:
    one_by_one: dict[str, Any] = {}
    for each in objects:
        one_by_one = merge(one_by_one, each)

    assert merge_all(objects) == one_by_one
    assert list(merge_all(objects)) == list(one_by_one)


def test_parts_that_all_bring_new_fields_are_combined_in_time_in_proportion_to_their_number() -> None:
    def parts(number: int) -> list[Extras]:
        return [Extras(body={f"b{place}": place, "in": {f"n{place}": 1}}) for place in range(number)]

    def seconds(number: int) -> float:
        made, least = parts(number), float("inf")
        for _ in range(3):
            began = time.process_time()
            combine(made)
            least = min(least, time.process_time() - began)
        return least

    assert seconds(8000) < 40 * seconds(1000)  # 64 times where each merge copies what was there
