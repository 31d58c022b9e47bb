"""Answers of Anthropic's Messages: each dialect is that answer, streamed and whole; half of one is none."""

import pytest
from msgspec.structs import replace

from deployments.policy.outcome import Answered, Failed, Finished, Refused, Rejected, Usage
from tests.upstream.calling import call, stream
from tests.upstream.dialects import DIALECTS
from tests.upstream.dialects_of_messages import MESSAGE_DIALECTS
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.test_dialects import made, streamed
from tests.upstream.test_messages_request import a_message


@pytest.mark.parametrize("name", MESSAGE_DIALECTS)
async def test_a_streamed_message_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = MESSAGE_DIALECTS[name]

    text, end, extras = await streamed(faulty, name, api="messages")

    assert text == dialect.says
    if not isinstance(end, Finished):
        assert type(end).__name__ == dialect.ends, end
        return
    assert end.finish_reason == dialect.ends
    assert made(end.tool_calls) == list(dialect.calls)
    assert (extras.message, end.skipped) == (dialect.beside, dialect.skipped)


@pytest.mark.parametrize("name", MESSAGE_DIALECTS)
async def test_a_whole_message_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = MESSAGE_DIALECTS[name]

    outcome = await call(faulty, name, api="messages")

    if not isinstance(outcome, Answered):
        assert type(outcome).__name__ == dialect.ends, outcome
        return
    assert outcome.result == (dialect.says or {"tool_calls": list(outcome.tool_calls)})
    assert outcome.finish_reason == dialect.ends
    assert made(outcome.tool_calls) == list(dialect.calls)
    assert (outcome.extras.message, outcome.skipped) == (dialect.beside, dialect.skipped)


async def test_the_ids_of_calls_are_those_of_the_model(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "message-with-calls", api="messages")

    assert isinstance(outcome, Answered)
    assert [each["id"] for each in outcome.tool_calls] == ["toolu_0", "toolu_1"]


async def test_an_overload_within_a_stream_of_200_is_transient(faulty: FaultyUpstream) -> None:
    for name in ("message-overloaded", "message-overloaded-amid"):
        _, end = await stream(faulty, name, api="messages")

        assert isinstance(end, Failed)
        assert end.transient


async def test_tokens_read_from_a_cache_or_written_into_one_were_read(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "message-with-a-cache", api="messages")

    assert isinstance(outcome, Answered)
    assert outcome.usage == Usage(7 + 100 + 20, 17)
    assert outcome.extras.usage["prompt_tokens_details"] == {"cached_tokens": 100, "cache_creation_tokens": 20}
    assert outcome.extras.usage["completion_tokens_details"] == {"reasoning_tokens": 5}


async def test_the_text_that_has_ended_a_message_is_told(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "message-ended-by-a-text", api="messages")

    assert isinstance(outcome, Answered)
    assert outcome.extras.choice["stop_reason"] == "\n"


async def test_a_rate_limit_is_waited_for_by_its_own_headers(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "messages-limited", api="messages")

    assert isinstance(outcome, Refused)
    assert (outcome.transient, 15 < outcome.retry_after_s < 25) == (True, True)


@pytest.mark.parametrize("name", [name for name in DIALECTS if "anthropic" in name])
async def test_an_error_means_the_same_in_this_format(faulty: FaultyUpstream, name: str) -> None:
    of_a_text = await call(faulty, name)
    if isinstance(of_a_text, Rejected) and of_a_text.field == "text":  # a message has none
        of_a_text = replace(of_a_text, field="messages")

    assert await call(faulty, name, a_message(), api="messages") == of_a_text
