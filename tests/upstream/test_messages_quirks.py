"""What an upstream of Anthropic's Messages does not take is left out, at once; what the caller loses is listed."""

from typing import Any

import pytest

from deployments.policy.outcome import Answered, Finished, Rejected
from deployments.request import InferenceRequest
from tests.fakes import read_stream, read_whole
from tests.upstream.calling import remote
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.test_messages_request import HI, LOOK, a_chat, a_message, a_request_behind, calling, result

SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
THOUGHT: Any = calling("a", thinking_blocks=[SIGNED])


async def asked_twice(faulty: FaultyUpstream, scenario: str, request: InferenceRequest) -> tuple[str, ...]:
    """What both of two answers have dropped; the upstream has refused the first one once."""
    async with remote(faulty, scenario, api="messages") as upstream:
        outcomes = [await read_whole(upstream, request) for _ in range(2)]
    first, second = outcomes
    assert isinstance(first, Answered), first
    assert isinstance(second, Answered), second
    assert first.result == second.result == TEXT
    assert first.dropped == second.dropped
    return first.dropped


@pytest.mark.parametrize(
    ("scenario", "request_", "dropped"),
    [
        ("messages-no-sampling", a_chat(temperature=0.5, top_p=0.5), ("temperature", "top_p")),
        ("messages-not-both", a_chat(temperature=0.5, top_p=0.5), ("top_p",)),
        ("messages-no-blank-stops", a_chat(stop=["\n", "END"]), ("stop",)),
        ("messages-no-blank-stops", a_message(stop_sequences=["\n"]), ("stop",)),
        ("messages-no-adaptive", a_chat(reasoning_effort="high"), ("reasoning_effort",)),
        ("messages-no-effort", a_chat(reasoning_effort="high"), ("reasoning_effort",)),
        ("messages-short", a_chat(), ()),
        ("messages-no-system-turns", a_message(HI, {"role": "system", "content": "In French."}, HI), ()),
    ],
)
async def test_what_a_model_never_takes_is_left_out_and_remembered(
    faulty: FaultyUpstream, scenario: str, request_: InferenceRequest, dropped: tuple[str, ...]
) -> None:
    assert await asked_twice(faulty, scenario, request_) == dropped
    assert len(faulty.requests) == 3


@pytest.mark.parametrize(
    ("scenario", "request_", "dropped"),
    [
        ("messages-other-signature", a_chat(HI, THOUGHT, result("a"), tools=[LOOK]), ()),
        (
            "messages-wants-thoughts",
            a_chat(HI, calling("a"), result("a"), tools=[LOOK], reasoning_effort="low"),
            ("reasoning_effort",),
        ),
        ("messages-no-such-schema", a_chat(response_format=FORM), ()),
        ("messages-no-such-effort", a_chat(reasoning_effort="xhigh"), ("reasoning_effort",)),
    ],
)
async def test_what_a_model_does_not_take_in_one_conversation_is_left_out_of_that_one(
    faulty: FaultyUpstream, scenario: str, request_: InferenceRequest, dropped: tuple[str, ...]
) -> None:
    assert await asked_twice(faulty, scenario, request_) == dropped
    assert len(faulty.requests) == 4


@pytest.mark.parametrize(
    ("scenario", "refused", "taken"),
    [
        ("messages-no-adaptive", a_chat(reasoning_effort="high"), a_message(thinking=BUDGET, max_tokens=4096)),
        ("messages-no-adaptive", a_message(thinking={"type": "adaptive"}), a_message(thinking=BUDGET)),
        ("messages-no-budget", a_message(thinking=BUDGET, max_tokens=4096), a_chat(reasoning_effort="high")),
        ("messages-no-such-effort", a_chat(reasoning_effort="xhigh"), a_chat(reasoning_effort="low")),
        ("messages-no-such-effort", a_chat(reasoning_effort="max"), a_message(thinking=BUDGET)),
        ("messages-no-effort", a_chat(reasoning_effort="low"), a_message(thinking=BUDGET)),
    ],
)
async def test_a_way_to_think_that_a_model_does_not_have_costs_nobody_another_one(
    faulty: FaultyUpstream, scenario: str, refused: InferenceRequest, taken: InferenceRequest
) -> None:
    async with remote(faulty, scenario, api="messages") as upstream:
        lost, kept = [await read_whole(upstream, request) for request in (refused, taken)]

    assert isinstance(lost, Answered), lost
    assert isinstance(kept, Answered), kept
    assert (lost.dropped, kept.dropped) == (("reasoning_effort",), ())
    assert "thinking" in faulty.requests[-1].body


async def test_a_schema_that_is_not_taken_is_said_in_words(faulty: FaultyUpstream) -> None:
    await asked_twice(faulty, "messages-no-such-schema", a_chat(response_format=FORM))

    body = faulty.requests[-1].body
    assert "output_config" not in body
    assert '{"properties":{"name"' in body["system"][-1]["text"].replace('"type":"object",', "")


async def test_the_longest_answer_that_the_caller_sets_is_the_callers(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "messages-short", api="messages") as upstream:
        outcome = await read_whole(upstream, a_chat(max_tokens=5000))

    assert isinstance(outcome, Rejected)
    assert len(faulty.requests) == 1


async def test_a_model_that_takes_no_beginning_of_an_answer_is_asked_in_words_and_remembered(
    faulty: FaultyUpstream,
) -> None:
    async with remote(faulty, "messages-no-prefill", api="messages") as upstream:
        for _ in range(2):
            *parts, end = await read_stream(upstream, a_request_behind("The quick brown fox"))
            assert "The quick brown fox" + "".join(part for part in parts if isinstance(part, str)) == TEXT
            assert isinstance(end, Finished)

    assert [each.body["messages"][-1]["role"] for each in faulty.requests] == ["assistant", "user", "user"]


async def test_a_model_that_thinks_is_asked_in_words_to_go_on(faulty: FaultyUpstream) -> None:
    beginning = {"role": "assistant", "content": "The quick brown fox"}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    async with remote(faulty, "healthy", api="messages") as upstream:
        await read_stream(upstream, a_message(HI, beginning, thinking=thinking, max_tokens=4096))

    (asked,) = faulty.requests
    assert [message["role"] for message in asked.body["messages"]] == ["user", "assistant", "user"]
