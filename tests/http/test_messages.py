"""Anthropic's Messages format on the wire: a message, its events, and its errors."""

from typing import Any

import pytest

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import CONTEXT_LENGTH, MODEL_NOT_FOUND, Problem
from deployments.request.dialogue import UNSIGNED
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CALL, MESSAGES, events, send

PATH = "/v1/messages"
STREAM = MESSAGES | {"stream": True}
REASONED = Extras(message={"reasoning_content": "hm"})
CALLS = an_answer({"tool_calls": [CALL]}, tool_calls=(CALL,), finish_reason="tool_calls")
STOPPED = Extras(choice={"stop_reason": "###"})
LOOK = {"name": "look", "input_schema": {"type": "object"}}
FORCED: dict[str, Any] = {"tools": [LOOK], "tool_choice": {"type": "any"}}


async def message(answer: Answer, **body: Any) -> dict[str, Any]:
    told: dict[str, Any] = (await send(ScriptedService(answer), PATH, MESSAGES | body)).json()
    return told


async def streamed(service: ScriptedService, **body: Any) -> list[tuple[str, Any]]:
    read = events(await send(service, PATH, STREAM | body, headers={"x-request-id": "r"}))
    assert [name for name, _ in read] == [data["type"] for _, data in read]
    return read


def blocks(read: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a stream with the deltas of each: one is open at a time, and each has the next index."""
    built: list[dict[str, Any]] = []
    is_open = False
    for name, data in read:
        if name == "content_block_start":
            assert (is_open, data["index"]) == (False, len(built))
            built.append({**data["content_block"], "deltas": []})
            is_open = True
        elif name == "content_block_delta":
            assert (is_open, data["index"]) == (True, len(built) - 1)
            built[-1]["deltas"].append(data["delta"])
        elif name == "content_block_stop":
            assert (is_open, data["index"]) == (True, len(built) - 1)
            is_open = False
    assert not is_open
    return built


# --- a whole message ----------------------------------------------------------------------------------


async def test_a_message_has_anthropics_fields_and_our_own() -> None:
    response = await send(ScriptedService(an_answer(usage=Usage(2, 3))), PATH, MESSAGES, headers={"x-request-id": "r"})

    told = response.json()
    assert told.pop("neverblank") == {
        "served_by": "primary",
        "degraded": False,
        "finish_reason": "stop",
        "attempts": [],
        "request_id": "r",
        "model": "m",
    }
    assert told == {
        "id": "msg_r",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
        },
    }


async def test_reasoning_stands_before_the_text_and_tool_calls_behind_it() -> None:
    answer = an_answer("Look:", tool_calls=(CALL,), finish_reason="tool_calls", extras=REASONED)

    told = await message(answer)

    assert told["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": UNSIGNED},
        {"type": "text", "text": "Look:"},
        {"type": "tool_use", "id": "c", "name": "look", "input": {}},
    ]
    assert told["stop_reason"] == "tool_use"


async def test_the_call_of_a_custom_tool_has_its_text_as_input() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "write", "input": "abc"}}

    content = (await message(an_answer({"tool_calls": [call]}, tool_calls=(call,))))["content"]

    assert content == [{"type": "tool_use", "id": "c", "name": "write", "input": {"input": "abc"}}]


async def test_what_was_read_from_a_cache_and_thought_is_counted_in_anthropics_way() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }

    usage = (await message(an_answer(usage=Usage(10, 6), extras=Extras(usage=details))))["usage"]

    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (3, 7, 6)
    assert usage["output_tokens_details"] == {"thinking_tokens": 4}


async def test_what_has_no_place_in_a_message_is_given_beside_it() -> None:
    extras = Extras(body={"citations": ["u"]}, message={"reasoning": "hm", "annotations": [1]})

    told = await message(an_answer(extras=extras))

    assert told["neverblank"]["extras"] == {"body": {"citations": ["u"]}, "message": {"annotations": [1]}}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (an_answer(), "end_turn"),
        (an_answer(finish_reason="length"), "max_tokens"),
        (an_answer(finish_reason="deadline"), "max_tokens"),
        (an_answer(finish_reason="content_filter"), "refusal"),
        (an_answer(extras=STOPPED), "stop_sequence"),
        (CALLS, "tool_use"),
        (last_resort(), "end_turn"),
        (last_resort(attempts=(BROKEN_OFF,)), "max_tokens"),
        (last_resort(refusal=True), "refusal"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_message_ends_for_the_reason_that_it_has(answer: Answer, reason: str, *, stream: bool) -> None:
    stops = {"stop_sequences": ["###"]}
    if stream:
        told = (await streamed(ScriptedService(answer), **stops))[-2][1]["delta"]
    else:
        told = await message(answer, **stops)

    assert told["stop_reason"] == reason
    assert told["stop_sequence"] == ("###" if reason == "stop_sequence" else None)


async def test_a_stop_text_that_was_not_asked_for_is_no_stop_sequence() -> None:
    assert (await message(an_answer(extras=STOPPED)))["stop_reason"] == "end_turn"


# --- a stream -----------------------------------------------------------------------------------------


async def test_a_stream_is_a_start_blocks_and_an_end() -> None:
    answer = an_answer("Hello", tool_calls=(CALL,), finish_reason="tool_calls", extras=REASONED, usage=Usage(2, 3))

    read = await streamed(ScriptedService(answer))

    start, delta, stop = read[0], read[-2], read[-1]
    assert (start[0], start[1]["message"]["content"], start[1]["message"]["id"]) == ("message_start", [], "msg_r")
    assert start[1]["message"]["usage"]["input_tokens"] == 1
    assert blocks(read) == [
        {
            "type": "thinking",
            "thinking": "",
            "signature": "",
            "deltas": [
                {"type": "thinking_delta", "thinking": "hm"},
                {"type": "signature_delta", "signature": UNSIGNED},
            ],
        },
        {
            "type": "text",
            "text": "",
            "deltas": [{"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}],
        },
        {
            "type": "tool_use",
            "id": "c",
            "name": "look",
            "input": {},
            "deltas": [{"type": "input_json_delta", "partial_json": "{}"}],
        },
    ]
    assert (delta[0], delta[1]["delta"]["stop_reason"], delta[1]["usage"]["output_tokens"]) == (
        "message_delta",
        "tool_use",
        3,
    )
    assert (delta[1]["neverblank"]["served_by"], delta[1]["neverblank"]["model"]) == ("primary", "m")
    assert stop == ("message_stop", {"type": "message_stop"})


async def test_white_space_alone_is_no_block() -> None:
    only_calls = await streamed(ScriptedService(CALLS, pieces=("\n", " ")))
    before_a_text = await streamed(ScriptedService(pieces=("\n", "Hello")))

    assert [block["type"] for block in blocks(only_calls)] == ["tool_use"]
    assert blocks(before_a_text)[0]["deltas"] == [{"type": "text_delta", "text": "\nHello"}]


async def test_a_refusal_is_streamed_as_a_text_and_ends_as_one() -> None:
    read = await streamed(ScriptedService(last_resort(refusal=True), pieces=(MESSAGE,)), **FORCED)

    assert [block["deltas"] for block in blocks(read)] == [[{"type": "text_delta", "text": MESSAGE}]]
    assert read[-2][1]["delta"]["stop_reason"] == "refusal"
    assert read[-2][1]["delta"]["stop_details"]["explanation"] == MESSAGE
    assert read[0][1]["message"]["model"] == "last_resort"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "reason"), [({}, "end_turn"), (FORCED, "refusal")])
async def test_a_request_that_is_turned_away_unread_gets_a_message_with_a_proper_end(
    body: dict[str, Any], reason: str, *, stream: bool
) -> None:
    response = await send(ScriptedService(is_full=True), PATH, MESSAGES | body | {"stream": stream})

    end = events(response)[-2][1]["delta"] if stream else response.json()
    assert MESSAGE in response.text
    assert end["stop_reason"] == reason


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "status", "sort"),
    [
        (Problem("seed", "is refused", "another"), 400, "invalid_request_error"),
        (Problem("model", "is unknown", "another", 404, code=MODEL_NOT_FOUND), 404, "not_found_error"),
        (Problem("body", "is too large", "less", 413), 413, "request_too_large"),
        (Problem("body", "is late", "in time", 408), 408, "invalid_request_error"),
    ],
)
async def test_an_error_has_anthropics_form_and_type(problem: Problem, status: int, sort: str) -> None:
    response = await send(ScriptedService(problem), PATH, MESSAGES, headers={"x-request-id": "r"})

    told = response.json()
    assert (response.status_code, told["type"], told["error"]["type"]) == (status, "error", sort)
    assert (told["error"]["param"], told["request_id"]) == (problem.field, "r")
    assert problem.message in told["error"]["message"]


async def test_a_prompt_that_is_too_long_is_called_so_in_the_words_that_clients_look_for() -> None:
    problem = Problem("messages", "have too many tokens", "fewer", code=CONTEXT_LENGTH)

    error = (await send(ScriptedService(problem), PATH, MESSAGES)).json()["error"]

    assert error["message"].startswith("prompt is too long: ")
    assert error["code"] == CONTEXT_LENGTH


async def test_a_path_or_a_method_that_is_none_is_told_in_anthropics_form() -> None:
    missing = await send(ScriptedService(), f"{PATH}/batches", MESSAGES)
    method = await send(ScriptedService(), PATH)

    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert (method.status_code, method.json()["error"]["type"]) == (405, "invalid_request_error")


async def test_an_answer_that_nothing_may_stand_in_for_is_an_error() -> None:
    answer = an_answer("no vector", served_by=Tier.LAST_RESORT, unavailable="vector_unavailable")

    response = await send(ScriptedService(answer), PATH, MESSAGES)

    assert (response.status_code, response.json()["error"]) == (
        503,
        {"type": "api_error", "message": "no vector", "code": "vector_unavailable"},
    )
