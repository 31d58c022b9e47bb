"""Tokens into text: nothing comes before it is certain, nothing of a stop text comes at all, nothing is lost."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.generation.detokenizer import Pieces


def decode(ids: Sequence[int]) -> str:
    """A tokenizer with a token for each byte."""
    return bytes(ids).decode("utf-8", errors="replace")


def said(text: str, stops: Sequence[str] = (), swallow: str = "") -> tuple[list[str], bool]:
    pieces = Pieces(decode, stops, swallow)
    given = []
    for token in text.encode():
        given.append(pieces.add(token))
        if pieces.stopped:
            break
    return [*given, pieces.finish()], pieces.stopped


@given(st.text(st.characters(codec="utf-8", exclude_characters="�"), max_size=40))
def test_the_pieces_are_the_text_and_none_is_half_a_character(text: str) -> None:
    pieces, _ = said(text)

    assert "".join(pieces) == text


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_text_ends_before_its_first_stop_and_no_part_of_the_stop_is_given(text: str, stops: list[str]) -> None:
    pieces, stopped = said(text, stops)
    ended = next((n for n in range(len(text) + 1) if any(stop in text[:n] for stop in stops)), None)

    if ended is None:
        assert ("".join(pieces), stopped) == (text, False)
    else:
        first = min(place for stop in stops if (place := text[:ended].find(stop)) >= 0)
        assert ("".join(pieces), stopped) == (text[:first], True)


def test_what_may_be_the_beginning_of_a_stop_is_held_back_and_nothing_else() -> None:
    pieces = Pieces(decode, ["END"])

    assert [pieces.add(byte) for byte in b"abENx"] == ["a", "b", "", "", "ENx"]


@pytest.mark.parametrize(
    ("swallow", "text", "passed"),
    [
        (" ", " word", "word"),
        (" ", "word", "word"),
        (" ", "\nword", "\nword"),
        (" \n", " \nword", "word"),
        ("", " x", " x"),
    ],
)
def test_white_space_that_stands_already_is_not_given_again(swallow: str, text: str, passed: str) -> None:
    pieces, _ = said(text, swallow=swallow)

    assert "".join(pieces) == passed
