"""The splicer: what a model writes behind a text is neither repeated nor lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.execution.splice import MIN_OVERLAP, OVERLAP_WINDOW, Splicer, StartsOverError

STORY = (
    "Once upon a time there was a small robot who lived in a library. Every evening, when the last reader had gone, "
    "it dusted the shelves and read one page of one book, and never the same page twice. One night it found a door."
)
REST = " Behind the door was another library, with another robot in it, reading the same page."


def joined(prefix: str, *pieces: str) -> str:
    """What `Splicer` lets through of a continuation in `pieces`."""
    splicer = Splicer(prefix)
    return "".join([splicer.feed(piece) for piece in pieces] + [splicer.finish()])


def cut_into(text: str, sizes: list[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


@given(st.integers(1, len(STORY) - 1), st.lists(st.integers(0, 40), max_size=12))
def test_an_exact_continuation_is_passed_on_as_it_is_wherever_it_was_cut(place: int, sizes: list[int]) -> None:
    assert joined(STORY[:place], *cut_into(STORY[place:], sizes)) == STORY[place:]


@given(st.integers(MIN_OVERLAP, OVERLAP_WINDOW), st.lists(st.integers(0, 40), max_size=12))
def test_what_the_text_ends_with_is_not_said_again_however_long_it_is(size: int, sizes: list[int]) -> None:
    assert joined(STORY, *cut_into(STORY[-size:] + REST, sizes)) == REST


@given(st.integers(4, OVERLAP_WINDOW))
def test_a_text_that_is_said_again_as_a_whole_is_carried_on_behind_it(size: int) -> None:
    prefix = STORY[:size]

    assert joined(prefix, prefix + REST) == REST


@given(st.integers(OVERLAP_WINDOW + 1, len(STORY)), st.lists(st.integers(0, 40), max_size=12))
def test_an_answer_that_begins_from_its_beginning_is_recognised(size: int, sizes: list[int]) -> None:
    with pytest.raises(StartsOverError):
        joined(STORY[:size], *cut_into(STORY[:60] + "and then it all went differently" * 9, sizes))


def test_white_space_does_not_hide_an_answer_that_starts_over() -> None:
    with pytest.raises(StartsOverError):
        joined(STORY, "\n  " + STORY.replace(" ", "  ")[:150])


@pytest.mark.parametrize(
    ("prefix", "continuation", "passed"),
    [
        ("It will contin", "continuation", "uation"),
        ("It will contin", "uation", "uation"),
        ("I can", "not do that", "not do that"),
        ("The cat ", " sat", "sat"),
        ("The cat ", "sat", "sat"),
        ("The cat", " sat", " sat"),
        ("A line.\n", "\nAnother one.", "\nAnother one."),
        ("    ", "    return x", "    return x"),
        ("ha ha ha ha ha ", "ha ha ha ha ha!", "ha ha ha ha ha!"),
        ("|---|---|---|---|\n", "|---|---|---|---|\n", "|---|---|---|---|\n"),
        ("================", "================", "================"),
        ("1, 1, 1, 1, 1, 1, ", "1, 1, 1, 1, 1, 1", "1, 1, 1, 1, 1, 1"),
        ("x = 111", "111", "111"),
        ("He said no", "no one came", "no one came"),
        ("", "Hello", "Hello"),
    ],
)
def test_only_what_no_writer_would_have_meant_is_removed(prefix: str, continuation: str, passed: str) -> None:
    assert joined(prefix, continuation) == passed
    assert joined(prefix, *continuation) == passed


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=8))
def test_nothing_is_ever_made_up_and_only_a_beginning_is_ever_removed(prefix: str, pieces: list[str]) -> None:
    written = "".join(pieces)
    try:
        passed = joined(prefix, *pieces)
    except StartsOverError:
        return

    assert written.endswith(passed)
    assert prefix.endswith(written[: len(written) - len(passed)])


@given(st.text(min_size=1, max_size=300), st.text(max_size=300), st.lists(st.integers(0, 50), max_size=8))
def test_it_makes_no_difference_how_a_continuation_is_cut_into_pieces(
    prefix: str, continuation: str, sizes: list[int]
) -> None:
    def outcome(*pieces: str) -> str:
        try:
            return joined(prefix, *pieces)
        except StartsOverError:
            return "starts over"

    assert outcome(continuation) == outcome(*cut_into(continuation, sizes))


def test_a_continuation_that_shares_nothing_with_the_text_is_not_held_back() -> None:
    assert Splicer(STORY).feed(" Behind") == " Behind"
