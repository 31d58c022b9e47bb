"""Streams, on virtual time: an honest head, one end, and a text that goes on when its model does not."""

import pytest

from deployments.policy.attempt import Tier
from deployments.policy.outcome import Blank, Finished, Refused, Rejected, Usage
from deployments.policy.problem import InvalidRequestError
from tests.execution.driving import BACKUP, A, B, clock
from tests.execution.streaming import FIRST_CONTENT_S, LAST_RESORT, RULES, read
from tests.streamers import Beat, Script, breaks, ends, hangs, says, streams

pytestmark = pytest.mark.looptime(idle_timeout=1)

BACKUP_TEXT = "and the backup goes on."
A_BACKUP = [*says(BACKUP_TEXT), *ends()]


# --- a stream that goes well ------------------------------------------------------------------------


async def test_a_stream_gives_its_pieces_as_they_come_and_the_whole_answer_at_its_end() -> None:
    got = await read({A: streams([*says("One", " two", " three", every_s=1.0), *ends()]), BACKUP: streams(A_BACKUP)})

    assert [item.text for item in got.texts] == ["One", " two", " three"]
    assert (got.opened, clock()) == (1.0, 3.0)
    assert (got.answer.result, got.answer.finish_reason, got.answer.degraded) == ("One two three", "stop", False)
    assert (got.head.served_by, got.head.degraded) == (Tier.PRIMARY, False)
    assert got.trace == [("a", "answered", "next", 0)]


async def test_the_head_waits_for_the_first_content_that_is_not_blank() -> None:
    got = await read({A: streams([*says("", "\n", every_s=1.0), *says("Hello"), *ends()])})

    assert got.opened == 2.0
    assert got.text == "\nHello"


async def test_token_counts_and_tool_calls_come_with_the_end() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    end = Finished("tool_calls", Usage(3, 4), (call,))

    got = await read({A: streams([Beat(""), Beat(end)])})

    assert (got.answer.result, got.answer.tool_calls) == ({"tool_calls": [call]}, (call,))
    assert (got.answer.usage, got.answer.finish_reason) == (Usage(3, 4), "tool_calls")


# --- before the first content -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (breaks(transient=False), "failed"),
        ([Beat(Blank())], "blank"),
        ([Beat(Refused("full"))], "refused"),
        (ends(), "blank"),
        ([*says(" ", "\n"), *ends()], "blank"),
        ([Beat(RuntimeError("boom"))], "failed"),
    ],
    ids=["fails", "blank", "refuses", "no deltas", "white space", "raises"],
)
async def test_a_stream_that_fails_before_its_first_content_is_replaced_invisibly(script: Script, outcome: str) -> None:
    got = await read({A: streams(script), BACKUP: streams(A_BACKUP)})

    assert got.text == BACKUP_TEXT
    assert (got.head.served_by, got.head.degraded) == (Tier.BACKUP, True)
    assert [(model, said) for model, said, *_ in got.trace] == [("a", outcome), ("backup", "answered")]


async def test_a_silent_stream_is_replaced_after_the_first_content_timeout() -> None:
    silent = streams(hangs())

    got = await read({A: silent, BACKUP: streams(A_BACKUP)})

    assert got.opened == pytest.approx(FIRST_CONTENT_S)
    assert got.trace[0][:2] == ("a", "timed_out")
    assert silent.streams[0].closed


async def test_when_nobody_has_a_first_content_the_last_resort_is_the_stream() -> None:
    got = await read({A: streams(breaks(transient=False)), BACKUP: streams(ends())})

    assert (got.text, got.head.served_by) == (LAST_RESORT, Tier.LAST_RESORT)
    assert got.answer.finish_reason == "last_resort"


async def test_a_stream_that_the_model_calls_invalid_is_handed_back_to_its_caller() -> None:
    with pytest.raises(InvalidRequestError, match="no such parameter"):
        await read({A: streams([Beat(Rejected("no such parameter", "seed"))]), BACKUP: streams(A_BACKUP)})


async def test_a_complaint_that_is_a_sentence_is_told_with_one_full_stop() -> None:
    with pytest.raises(InvalidRequestError, match=r"no such parameter\. Accepted"):
        await read({A: streams([Beat(Rejected("no such parameter.", "seed"))]), BACKUP: streams(A_BACKUP)})


# --- after the first content ------------------------------------------------------------------------

HANG_UPS: dict[str, Script] = {
    "a failure": breaks(transient=False),
    "a stall": hangs(),
    "an exception": [Beat(RuntimeError("boom"))],
    "a blank end": [Beat(Blank())],
}


@pytest.mark.parametrize("fault", HANG_UPS.values(), ids=HANG_UPS.keys())
async def test_a_text_that_breaks_off_is_carried_on_by_the_next_model(fault: Script) -> None:
    backup = streams(A_BACKUP)

    got = await read({A: streams([*says("It began ", "well "), *fault]), BACKUP: backup})

    assert got.text == f"It began well {BACKUP_TEXT}"
    assert backup.streams[0].request.prefix == "It began well "
    assert (got.answer.model, got.answer.degraded, got.answer.finish_reason) == ("backup", True, "stop")
    assert [item.model for item in got.texts] == ["a", "a", "backup"]
    assert got.trace[-1] == ("backup", "answered", "continue", len("It began well "))
    assert got.trace[0][3] == 0


async def test_a_filter_that_withholds_the_rest_of_a_text_puts_no_sentence_behind_it() -> None:
    withheld = [Beat(Finished("content_filter"), 0.1)]

    got = await read({A: streams([*says("It began ", "well "), *hangs()]), BACKUP: streams(withheld)})

    assert (got.text, got.answer.finish_reason) == ("It began well ", "content_filter")


async def test_a_stall_is_a_silence_of_stall_s_and_no_less() -> None:
    pieces = says("One ", "two ", every_s=RULES.stall_seconds - 0.1)

    got = await read({A: streams([*pieces, *hangs()]), BACKUP: streams(A_BACKUP)})

    assert got.trace[0][1] == "timed_out"
    assert clock() == pytest.approx(2 * (RULES.stall_seconds - 0.1) + RULES.stall_seconds)


async def test_a_model_that_reasons_between_two_texts_is_not_silent() -> None:
    ticks = [Beat("", RULES.stall_seconds - 0.1) for _ in range(5)]

    got = await read({A: streams([*says("Well, "), *ticks, *says("yes."), *ends()])})

    assert got.text == "Well, yes."


@pytest.mark.parametrize("fault", [breaks(transient=True), []], ids=["transport", "cut"])
async def test_where_only_the_transport_broke_the_same_model_carries_on(fault: Script) -> None:
    model = streams([*says("It began "), *fault], [*says("and it ended."), *ends()])

    got = await read({A: model, BACKUP: streams(A_BACKUP)})

    assert got.text == "It began and it ended."
    assert (got.answer.model, got.answer.degraded) == ("a", False)
    assert got.trace == [("a", "failed", "next", 0), ("a", "answered", "continue", 9)]


async def test_a_model_under_which_the_transport_keeps_breaking_gives_way_to_the_next() -> None:
    model = streams([*says("x"), *breaks(transient=True)])

    got = await read({A: model, BACKUP: streams(A_BACKUP)})

    assert got.text == f"xxx{BACKUP_TEXT}"
    assert len(model.streams) == 3


async def test_a_model_that_refuses_to_carry_on_is_passed_over() -> None:
    refuses = streams([Beat(Refused("it does not take the beginning of an answer"))])

    got = await read({A: streams([*says("It began "), *hangs()]), B: refuses, BACKUP: streams(A_BACKUP)})

    assert got.text == f"It began {BACKUP_TEXT}"
    assert [model for model, *_ in got.trace] == ["a", "b", "backup"]


async def test_a_model_that_calls_the_continuation_invalid_is_passed_over() -> None:
    got = await read({A: streams([*says("It began "), *breaks(transient=False)]), B: streams([Beat(Rejected("no"))]),
                      BACKUP: streams(A_BACKUP)})  # fmt: skip

    assert got.text == f"It began {BACKUP_TEXT}"


async def test_nothing_to_add_to_a_text_is_a_proper_end_of_it() -> None:
    got = await read({A: streams([*says("That is all."), *breaks(transient=False)]), BACKUP: streams(ends())})

    assert (got.text, got.answer.finish_reason) == ("That is all.", "stop")


async def test_when_nobody_can_carry_on_the_last_resort_ends_the_text() -> None:
    got = await read({A: streams([*says("It began "), *hangs()]), BACKUP: streams(breaks(transient=False))})

    assert got.text == f"It began \n\n{LAST_RESORT}"
    assert (got.answer.finish_reason, got.answer.served_by) == ("last_resort", Tier.LAST_RESORT)
    assert got.texts[-1].served_by is Tier.LAST_RESORT


async def test_a_continuation_may_break_off_too() -> None:
    got = await read(
        {A: streams([*says("One "), *hangs()]), B: streams([*says("two "), *hangs()]), BACKUP: streams(A_BACKUP)}
    )

    assert got.text == f"One two {BACKUP_TEXT}"
    assert [place for *_, place in got.trace if place is not None] == [0, 4, 8]


async def test_token_counts_of_a_continued_answer_are_added_and_the_missing_ones_estimated() -> None:
    pieces = says("One ", "two ", "three, and so on and on ")

    got = await read(
        {A: streams([*pieces, *hangs()]), BACKUP: streams([*says("x"), Beat(Finished("stop", Usage(5, 1)))])}
    )

    assert (got.answer.usage, got.answer.usage_estimated) == (Usage(5, 8 + 1), True)


async def test_token_counts_that_are_all_known_are_not_called_estimated() -> None:
    first = [*says("One "), Beat(Finished("stop", Usage(5, 1)))]

    known, unknown = await read({A: streams(first)}), await read({A: streams([*says("One "), *ends()])})

    assert (known.answer.usage, known.answer.usage_estimated) == (Usage(5, 1), False)
    assert (unknown.answer.usage, unknown.answer.usage_estimated) == (None, False)
