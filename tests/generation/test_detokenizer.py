"""The detokenizer returns no uncertain text and no part of a stop text, and loses nothing."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.generation.detokenizer import Detokenizer, StepDecoder


def decode(ids: Sequence[int]) -> str:
    """A tokenizer with a token for each byte."""
    return bytes(ids).decode("utf-8", errors="replace")


def detokenized(text: str, stops: Sequence[str] = (), skip: str = "") -> tuple[list[str], bool]:
    """The texts of the tokens of `text`, and whether a stop text was found."""
    detokenizer = Detokenizer(decode, stops, skip)
    texts = []
    for token in text.encode():
        texts.append(detokenizer.add(token))
        if detokenizer.stopped:
            break
    return [*texts, detokenizer.finish()], detokenizer.stopped


@given(st.text(st.characters(codec="utf-8", exclude_characters="�"), max_size=40))
def test_the_texts_add_up_to_the_whole_and_none_is_half_a_character(text: str) -> None:
    texts, _ = detokenized(text)

    assert "".join(texts) == text


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_text_ends_before_its_first_stop_text_and_contains_no_part_of_it(text: str, stops: list[str]) -> None:
    texts, stopped = detokenized(text, stops)
    ended = next((n for n in range(len(text) + 1) if any(stop in text[:n] for stop in stops)), None)

    if ended is None:
        assert ("".join(texts), stopped) == (text, False)
    else:
        first = min(place for stop in stops if (place := text[:ended].find(stop)) >= 0)
        assert ("".join(texts), stopped) == (text[:first], True)


def test_only_what_may_be_the_beginning_of_a_stop_text_is_held_back() -> None:
    detokenizer = Detokenizer(decode, ["END"])

    assert [detokenizer.add(byte) for byte in b"abENx"] == ["a", "b", "", "", "ENx"]


@pytest.mark.parametrize(
    ("skip", "text", "returned"),
    [
        (" ", " word", "word"),
        (" ", "word", "word"),
        (" ", "\nword", "\nword"),
        (" \n", " \nword", "word"),
        ("", " x", " x"),
    ],
)
def test_white_space_that_the_prompt_ends_with_is_not_returned_again(skip: str, text: str, returned: str) -> None:
    texts, _ = detokenized(text, skip=skip)

    assert "".join(texts) == returned


def test_the_windows_of_a_step_are_decoded_in_one_call() -> None:
    calls: list[int] = []

    def decode_many(windows: list[list[int]]) -> list[str]:
        calls.append(len(windows))
        return [decode(window) for window in windows]

    decoder = StepDecoder(decode_many)
    detokenizers = [Detokenizer(decoder.decode) for _ in range(2)]
    for tokens in zip(b"abc", b"xyz", strict=True):
        decoder.prefetch((detokenizer, [token]) for detokenizer, token in zip(detokenizers, tokens, strict=True))
        for detokenizer, token in zip(detokenizers, tokens, strict=True):
            assert detokenizer.add(token) == chr(token)

    assert calls == [2, 4, 4]
