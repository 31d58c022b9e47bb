"""What has ended has ended: nothing behind it keeps an answer open, and nothing that is sent has no bound."""

import gzip
from collections.abc import Callable

import orjson
import pytest

from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.extras import Extras
from deployments.policy.outcome import Failed, Finished, Refused, Usage
from deployments.upstream.plain import read_plain
from deployments.upstream.reading import END_WAIT_S
from tests.simulation.network import Chunk
from tests.upstream.answering import CUT, read
from tests.upstream.dialect import BEGUN, DONE, REST, SAID, chunk, event
from tests.upstream.exchange import TEXT
from tests.upstream.voices import USAGE

pytestmark = pytest.mark.looptime

FINISHED = (*SAID, chunk({}, "stop"))


@pytest.mark.parametrize(
    "more",
    [
        [Chunk(b": still here\n\n", 0.3)] * 100,
        [Chunk(b"data: {}\n\n", 0.3)] * 100,
        [Chunk(b"\n", 0.3)] * 100,
        [Chunk(chunk({}), 0.3)] * 100,
        [Chunk(b"", 100.0)],
        [CUT],
        [Chunk(chunk({"content": " And more."}), 0.3)] * 100,
        [Chunk(event({"error": {"message": "Died."}}), 0.3)] * 100,
    ],
    ids=["comments", "empty objects", "lines", "empty deltas", "silence", "a cut", "text", "errors"],
)
async def test_nothing_behind_an_end_keeps_an_answer_open_or_becomes_a_part_of_it(more: list[Chunk]) -> None:
    reading = await read([*FINISHED, *more])

    assert reading.text == TEXT
    assert isinstance(reading.end, Finished)
    assert reading.end.finish_reason == "stop"
    assert reading.seconds <= END_WAIT_S + 0.1


@pytest.mark.parametrize("pause", [END_WAIT_S / 2, END_WAIT_S * 5])
async def test_a_pause_behind_a_stop_that_comes_with_every_content_ends_nothing(pause: float) -> None:
    pieces = [Chunk(chunk({"content": piece}, "stop"), pause) for piece in (BEGUN, REST[:9], REST[9:])]

    reading = await read([*pieces, Chunk(DONE, pause)])

    assert reading.text == TEXT
    assert isinstance(reading.end, Finished)


async def test_the_wait_for_the_counts_begins_anew_where_content_came_behind_a_stop() -> None:
    begun, ended = chunk({"content": BEGUN}), chunk({"content": REST[:9]}, "stop")
    more, end = Chunk(chunk({"content": REST[9:]}), END_WAIT_S / 2), Chunk(chunk({}, "stop"), END_WAIT_S * 3)
    counts = Chunk(event({"choices": [], "usage": USAGE}), END_WAIT_S / 2)

    reading = await read([begun, ended, more, end, counts, DONE])

    assert reading.text == TEXT
    assert isinstance(reading.end, Finished)
    assert reading.end.usage == Usage(7, 17)


async def test_the_counts_that_come_behind_an_end_are_waited_for() -> None:
    reading = await read([*FINISHED, Chunk(event({"choices": [], "usage": USAGE}), END_WAIT_S / 2), DONE])

    assert isinstance(reading.end, Finished)
    assert reading.end.usage == Usage(7, 17)


async def test_reasoning_and_pieces_of_calls_are_signs_of_life_and_comments_are_none() -> None:
    thought, piece = chunk({"reasoning": "Hm."}), chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]})

    reading = await read([b": here\n\n", thought, b"data: {}\n\n", piece, chunk({"role": "assistant"}), CUT])

    assert reading.items == [Extras(message={"reasoning": "Hm."}), ""]


async def test_log_probabilities_come_with_their_text_and_other_fields_with_the_end() -> None:
    odds, safe = {"content": [{"token": "Hi"}]}, {"hate": {"filtered": False}}
    first = {"index": 0, "delta": {"content": "Hi"}, "logprobs": odds, "content_filter_results": safe}
    last = event({"system_fingerprint": "fp", "citations": ["a"], "choices": [{"index": 0, "finish_reason": "stop"}]})
    counts = event({"choices": [], "usage": {**USAGE, "cost": 0.1}})

    reading = await read([event({"system_fingerprint": "fp", "choices": [first]}), last, counts, DONE])

    beside = Extras(
        body={"system_fingerprint": "fp", "citations": ["a"]},
        choice={"content_filter_results": safe},
        usage={**USAGE, "cost": 0.1},
    )
    assert reading.items == [Extras(choice={"logprobs": odds}), "Hi", Finished("stop", Usage(7, 17), extras=beside)]


async def test_counts_are_cumulative_and_may_stand_in_the_choice() -> None:
    some, all_of_them = {"prompt_tokens": 7, "completion_tokens": 1}, {"completion_tokens": 17}
    parts = [chunk({"content": TEXT}, usage=some), chunk({}, "stop", usage=all_of_them), DONE]

    reading = await read(parts)

    assert isinstance(reading.end, Finished)
    assert reading.end.usage == Usage(7, 17)


async def test_further_choices_are_given_whole_with_the_end() -> None:
    def told(index: int, delta: object, reason: str | None = None) -> bytes:
        return event({"choices": [{"index": index, "delta": delta, "finish_reason": reason}]})

    parts = [told(1, {"content": "B"}), told(0, {"content": "A"}), told(1, {"content": "b", "reasoning": "Hm."})]
    parts += [told(0, {"content": "a"}), told(0, {}, "stop"), told(1, {}, "MAX_TOKENS"), DONE]

    reading = await read(parts)

    assert reading.text == "Aa"
    assert isinstance(reading.end, Finished)
    other = {"role": "assistant", "content": "Bb", "refusal": None, "reasoning": "Hm."}
    assert reading.end.extras.others == ({"index": 1, "message": other, "finish_reason": "length", "logprobs": None},)


async def test_further_choices_that_are_blank_or_errors_are_left_out_and_counted() -> None:
    def told(index: int, delta: object, reason: str | None = None, **more: object) -> bytes:
        return event({"choices": [{"index": index, "delta": delta, "finish_reason": reason, **more}]})

    parts = [told(place, {"content": text}) for place, text in enumerate(["A", " ", "C", "D"])]
    parts += [told(2, {}, error={"message": "overloaded"})]
    parts += [told(3, {}, "stop"), told(1, {}, "stop"), told(0, {}, "stop"), DONE]

    reading = await read(parts)

    assert isinstance(reading.end, Finished)
    assert [(other["index"], other["message"]["content"]) for other in reading.end.extras.others] == [(1, "D")]
    assert reading.end.dropped == ("n:2",)


async def test_a_field_that_is_nested_too_deep_is_left_out() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    delta = {"content": "Hi", "deep": deep}

    reading = await read([event({"deep": deep, "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})])

    assert reading.items == ["Hi", Finished()]


@pytest.mark.parametrize(
    ("flood", "reason"),
    [
        (lambda: [b"data: " + b"x" * 5000], "an event of more than"),
        (lambda: [b"data: x\n"] * 9000, "an event of more than"),
        (lambda: [b": x\n" * 1000] * 1000, "a response of more than"),
        (lambda: [chunk({}) * 100] * 1000, "a response of more than"),
        (lambda: [b"data: {{{\n\n"] * 9, "cannot be read"),
    ],
)
async def test_what_has_no_end_has_a_bound(flood: Callable[[], list[bytes]], reason: str) -> None:
    reading = await read([SAID[1], *flood()])

    assert reading.text == BEGUN
    assert reason in str(reading.error or reading.end)


async def test_a_small_response_that_expands_without_end_has_a_bound() -> None:
    reading = await read([gzip.compress(b": x\n" * (1 << 20))])

    assert "a response of more than" in str(reading.error)


async def test_what_is_no_answer_is_not_read_to_its_end() -> None:
    reading = await read([Chunk(b"<p>Hello</p>\n" * 600, 1.0)] * 100, "text/html")

    assert reading.end == Failed("its response is not a JSON object (text/html)")
    assert reading.seconds < 10


async def test_what_was_left_out_of_an_answer_shows_in_its_attempt() -> None:
    reading = await read([SAID[1], b"data: {{{\n\n", b"data: 7\n\n", SAID[2], chunk({}, "stop"), DONE])

    assert isinstance(reading.end, Finished)
    assert Ended(Candidate(Tier.PRIMARY, "m"), 0.0, 1.0, reading.end).to_json()["skipped"] == 2


@pytest.mark.parametrize("tier", ["last_resort", "backup"])
async def test_the_last_resort_of_a_chained_service_is_no_answer_though_its_head_said_nothing(tier: str) -> None:
    told = {"neverblank": {"served_by": tier}}
    plain = {"choices": [{"index": 0, "message": {"content": "Sorry."}, "finish_reason": "stop"}], "usage": USAGE}

    streamed = await read([*SAID, chunk({}, "stop"), event({"choices": [], **told}), DONE])
    body = orjson.dumps({**plain, **told})
    whole = await read([body], "application/json")

    is_answer = tier == "backup"
    assert isinstance(streamed.end, Finished if is_answer else Refused)
    assert isinstance(whole.end, Finished if is_answer else Refused)
    assert (read_plain(body) is not None) is is_answer
