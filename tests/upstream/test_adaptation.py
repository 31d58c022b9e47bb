"""A remote that does not take something of ours is asked without it, at once, and next time from the start."""

from typing import Any

import pytest

from deployments.policy.outcome import Answered, Finished, Rejected
from deployments.request import InferenceRequest, Parameters
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.adaptation import Adaptation
from deployments.upstream.complaints import read_complaint
from tests.fakes import a_request, read_stream, read_whole
from tests.upstream.calling import call, remote, stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

BEGUN = "The quick brown fox"
SHORT = InferenceRequest({}, "Hi", (), "", 30.0, Parameters(max_tokens=9))


def carrying_on(prefix: str = BEGUN, **more: Any) -> InferenceRequest:
    return InferenceRequest({}, "Say it.", (), "", 30.0, prefix=prefix, **more)


async def test_a_remote_without_stream_options_streams_without_them_and_is_remembered(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "no-stream-options") as upstream:
        for _ in range(2):
            read = await read_stream(upstream, a_request())
            assert "".join(str(item) for item in read[:-1]) == TEXT
            assert isinstance(read[-1], Finished)

    assert ["stream_options" in each.body for each in faulty.requests] == [True, False, False]


async def test_the_other_name_of_max_tokens_is_used_and_remembered(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "no-max-tokens") as upstream:
        for _ in range(2):
            assert isinstance(await read_whole(upstream, SHORT), Answered)

    assert [each.body.get("max_tokens") for each in faulty.requests] == [9, None, None]
    assert [each.body.get("max_completion_tokens") for each in faulty.requests] == [None, 9, 9]


async def test_a_max_tokens_that_is_too_large_is_the_callers_and_not_asked_again(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "error-invalid-openai-max", SHORT)

    assert isinstance(outcome, Rejected)
    assert outcome.field == "max_tokens"
    assert len(faulty.requests) == 1


async def test_what_the_caller_asked_for_is_not_left_out(faulty: FaultyUpstream) -> None:
    request = InferenceRequest({}, "Hi", (), "", 30.0, Parameters(temperature=0.2))

    assert isinstance(await call(faulty, "error-invalid-openai", request), Rejected)
    assert len(faulty.requests) == 1


@pytest.mark.parametrize("scenario", ["no-prefill", "no-prefill-unexplained", "no-prefill-breaks"])
async def test_a_remote_that_takes_no_beginning_of_an_answer_is_asked_in_words_and_remembered(
    faulty: FaultyUpstream, scenario: str
) -> None:
    async with remote(faulty, scenario) as upstream:
        for _ in range(2):
            read = await read_stream(upstream, carrying_on())
            assert BEGUN + "".join(str(item) for item in read[:-1]) == TEXT

    assert [each.asks_to_go_on for each in faulty.requests] == [False, True, True]
    assert [turn["role"] for turn in faulty.requests[-1].body["messages"]] == ["user", "assistant", "user"]


async def test_a_remote_whose_spec_says_so_is_asked_in_words_from_the_start(faulty: FaultyUpstream) -> None:
    text, end = await stream(faulty, "healthy", carrying_on(), prefill="never")

    assert BEGUN + text == TEXT
    assert isinstance(end, Finished)
    assert [each.asks_to_go_on for each in faulty.requests] == [True]


@pytest.mark.parametrize("begun", [TEXT[:19], TEXT[:30], TEXT[:60], TEXT[:65]])
async def test_a_model_that_repeats_the_last_words_joins_exactly_within_a_word_or_between_two(
    faulty: FaultyUpstream, begun: str
) -> None:
    text, _ = await stream(faulty, "repeats-when-asked-to-go-on", carrying_on(begun), prefill="never")

    assert begun + text == TEXT


async def test_vllms_fields_are_left_out_where_they_are_not_taken(faulty: FaultyUpstream) -> None:
    text, _ = await stream(faulty, "no-continue-fields", carrying_on(), prefill="continue")

    assert BEGUN + text == TEXT
    assert [each.asks_to_go_on for each in faulty.requests] == [False, False]


async def test_a_remote_that_takes_no_reasoning_of_earlier_turns_is_asked_without_it_and_remembered(
    faulty: FaultyUpstream,
) -> None:
    said = {"role": "assistant", "content": "Well.", "reasoning_content": "hm"}
    turns = ({"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Go on."})
    request = InferenceRequest({}, "", ({"role": "user", "content": "Hi"},), "", 30.0, turns=turns)
    async with remote(faulty, "no-reasoning") as upstream:
        for _ in range(2):
            assert isinstance(await read_whole(upstream, request), Answered)

    sent = [[turn.get("reasoning_content") for turn in each.body["messages"]] for each in faulty.requests]
    assert sent == [[None, "hm", None], [None] * 3, [None] * 3]
    assert said["reasoning_content"] == "hm"


def test_a_remote_that_wants_reasoning_back_is_not_asked_without_it() -> None:
    adaptation = Adaptation(RemoteSpec(base_url="http://upstream.example/v1", model="m"))
    message = "The reasoning_content in the thinking mode must be passed back to the API."
    body = {"messages": [{"role": "assistant", "content": "Well.", "reasoning_content": "hm"}]}

    assert adaptation.find(read_complaint({"error": {"message": message}}, 400, {}), body, a_request()) is None


async def test_a_request_that_is_invalid_with_and_without_the_prefix_is_the_callers(faulty: FaultyUpstream) -> None:
    text, end = await stream(faulty, "status-422", carrying_on())

    assert (text, end) == ("", Rejected("Field required.", "text"))
    assert len(faulty.requests) == 2


async def test_a_prefix_that_was_no_fault_is_sent_as_before(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "status-422") as upstream:
        for _ in range(2):
            await read_stream(upstream, carrying_on())

    assert [each.asks_to_go_on for each in faulty.requests] == [False, True, False, True]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_tokens": 9}, "max_tokens: the value 9 is not supported, it must be at most 8."),
        ({"max_tokens": 9}, "Unsupported value: max_tokens is not allowed to exceed 8."),
        ({"stream_options": {"include_usage": True, "chunk": 7}}, "stream_options.chunk is not supported."),
    ],
)
def test_what_one_callers_value_brings_about_is_learnt_for_nobody(more: dict[str, Any], message: str) -> None:
    adaptation = Adaptation(RemoteSpec(base_url="http://upstream.example/v1", model="m"))
    complaint = read_complaint({"error": {"message": message}}, 400, {})

    assert adaptation.find(complaint, more, a_request()) is None
