"""OpenAI's Responses on the wire: a response, its events, and its errors."""

from typing import Any

import pytest

from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import CONTEXT_LENGTH, Problem
from tests.http.service import MESSAGE, ScriptedService, ScriptedStream, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CALL, events, send

RESPONSES = "/v1/responses"
HI: dict[str, Any] = {"input": "Hi"}
REASONING = Extras(message={"reasoning_content": "hm"})
CUSTOM = {"id": "d", "type": "custom", "custom": {"name": "write", "input": "abc"}}
CALLING = an_answer({"tool_calls": [CALL]}, tool_calls=(CALL,), finish_reason="tool_calls")
LOOK = {"type": "function", "name": "look"}
FORCING: dict[str, Any] = {"tools": [LOOK], "tool_choice": "required"}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "u", "title": "t"}
LIKELY = {"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": []}


async def respond(answer: Answer, **body: Any) -> dict[str, Any]:
    told: dict[str, Any] = (await send(ScriptedService(answer), RESPONSES, HI | body)).json()
    return told


async def stream(service: ScriptedService, **body: Any) -> list[tuple[str, Any]]:
    """The events of a stream, whose numbers have no gap."""
    read = events(await send(service, RESPONSES, HI | {"stream": True} | body))
    assert [name for name, _ in read] == [data["type"] for _, data in read]
    assert [data["sequence_number"] for _, data in read] == list(range(len(read)))
    return read


def built(read: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The items of a stream, which are those of its last event: one is open at a time, each at the next index."""
    items: list[dict[str, Any]] = []
    pieces, is_open = "", False
    for name, data in read[2:-1]:
        if name == "response.output_item.added":
            assert (is_open, data["output_index"], data["item"]["status"]) == (False, len(items), "in_progress")
            opened, pieces, is_open = data["item"]["id"], "", True
            continue
        assert (is_open, data["output_index"]) == (True, len(items))
        assert data.get("item_id", opened) == opened
        if name.endswith(".delta"):
            pieces += data["delta"]
        elif name == "response.output_item.done":
            assert data["item"]["id"] == opened
            items.append(data["item"])
            is_open = False
        elif name.endswith(".done") and "part" not in data:
            assert pieces in data.values()
    assert not is_open
    assert read[-1][1]["response"]["output"] == items
    return items


def names(read: list[tuple[str, Any]]) -> list[str]:
    return [name.removeprefix("response.") for name, _ in read]


# --- a whole response ---------------------------------------------------------------------------------


async def test_a_response_has_openais_fields_and_our_own() -> None:
    asked = {"instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5, "reasoning": {"effort": "low"}}
    service = ScriptedService(an_answer(usage=Usage(2, 3)))

    response = await send(service, RESPONSES, HI | asked, headers={"x-request-id": "r"})

    told = response.json()
    key = told["id"].removeprefix("resp_")
    assert told.pop("neverblank") == {
        "served_by": "primary",
        "degraded": False,
        "finish_reason": "stop",
        "attempts": [],
        "request_id": "r",
        "model": "m",
    }
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert told.pop("output") == [
        {"type": "message", "id": f"msg_{key}", "role": "assistant", "content": [part], "status": "completed"}
    ]
    assert (told["object"], told["status"], told["model"], told["store"]) == ("response", "completed", "m", False)
    assert {name: told[name] for name in asked} == asked
    assert told["created_at"] <= told["completed_at"]
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"], told["usage"]["total_tokens"]) == (2, 3, 5)
    assert (told["text"], told["tools"], told["tool_choice"]) == ({"format": {"type": "text"}}, [], "auto")


async def test_two_responses_to_requests_with_the_same_id_have_ids_of_their_own() -> None:
    told = [await send(ScriptedService(), RESPONSES, HI, headers={"x-request-id": "r"}) for _ in range(2)]

    assert len({response.json()["id"] for response in told}) == 2


@pytest.mark.parametrize("stream_it", [False, True])
async def test_reasoning_stands_before_the_text_and_tool_calls_behind_it(*, stream_it: bool) -> None:
    answer = an_answer("Hello", tool_calls=(CALL, CUSTOM), finish_reason="tool_calls", extras=REASONING)

    output = built(await stream(ScriptedService(answer))) if stream_it else (await respond(answer))["output"]

    thought, said, called, wrote = output
    assert (thought["content"], thought["summary"]) == ([{"type": "reasoning_text", "text": "hm"}], [])
    assert said["content"][0]["text"] == "Hello"
    assert (called["type"], called["call_id"], called["name"], called["arguments"]) == (
        "function_call",
        "c",
        "look",
        "{}",
    )
    assert (wrote["type"], wrote["call_id"], wrote["name"], wrote["input"]) == ("custom_tool_call", "d", "write", "abc")
    assert len({item["id"] for item in output}) == 4


@pytest.mark.parametrize("stream_it", [False, True])
async def test_reasoning_is_a_summary_where_one_is_asked_for(*, stream_it: bool) -> None:
    answer, asked = an_answer(extras=REASONING), {"reasoning": {"summary": "auto"}}

    if stream_it:
        read = await stream(ScriptedService(answer), **asked)
        thought = built(read)[0]
        assert names(read)[3:8] == [
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    else:
        thought = (await respond(answer, **asked))["output"][0]

    assert (thought["content"], thought["summary"]) == ([], [{"type": "summary_text", "text": "hm"}])


@pytest.mark.parametrize("stream_it", [False, True])
async def test_citations_and_log_probabilities_stand_beside_the_text_and_all_else_in_extras(*, stream_it: bool) -> None:
    of_chats = {"type": "url_citation", "url_citation": {name: CITED[name] for name in CITED if name != "type"}}
    extras = Extras(
        body={"citations": ["u"]}, choice={"logprobs": {"content": [LIKELY]}}, message={"annotations": [of_chats]}
    )

    if stream_it:
        read = await stream(ScriptedService(an_answer(extras=extras)))
        told = read[-1][1]["response"]
        assert [data["annotation"] for name, data in read if name.endswith("annotation.added")] == [CITED]
    else:
        told = await respond(an_answer(extras=extras))

    part = told["output"][0]["content"][0]
    assert part["annotations"] == [CITED]
    assert part["logprobs"] == [{"token": "Hel", "bytes": [72, 101, 108], "logprob": -0.1, "top_logprobs": []}]
    assert told["neverblank"]["extras"] == {"body": {"citations": ["u"]}}


async def test_a_citation_or_a_log_probability_of_another_form_is_left_where_it_was() -> None:
    extras = Extras(choice={"logprobs": {"content": [{"token": 3}]}}, message={"annotations": [{"type": "mark"}]})

    told = await respond(an_answer(extras=extras))

    assert (told["output"][0]["content"][0]["annotations"], told["output"][0]["content"][0]["logprobs"]) == ([], [])
    assert told["neverblank"]["extras"] == extras.to_json()


async def test_what_was_read_from_a_cache_and_thought_is_counted() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens_details": {"reasoning_tokens": 4}}

    usage = (await respond(an_answer(usage=Usage(10, 6), extras=Extras(usage=details))))["usage"]

    assert (usage["input_tokens_details"]["cached_tokens"], usage["output_tokens_details"]) == (
        7,
        {"reasoning_tokens": 4},
    )


async def test_that_nothing_is_stored_is_told_where_it_was_asked_for() -> None:
    told = [(await respond(an_answer(), store=store))["neverblank"].get("stored") for store in (True, False, None)]

    assert told == [False, None, None]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (an_answer(), "completed", None),
        (an_answer(finish_reason="length"), "incomplete", "max_output_tokens"),
        (an_answer(finish_reason="deadline"), "incomplete", "max_output_tokens"),
        (an_answer(finish_reason="content_filter"), "incomplete", "content_filter"),
        (CALLING, "completed", None),
        (last_resort(), "completed", None),
        (last_resort(attempts=(BROKEN_OFF,)), "incomplete", "max_output_tokens"),
        (last_resort(refusal=True), "completed", None),
    ],
)
@pytest.mark.parametrize("stream_it", [False, True])
async def test_a_response_ends_in_the_status_that_it_has(
    answer: Answer, status: str, reason: str | None, *, stream_it: bool
) -> None:
    if stream_it:
        name, end = (await stream(ScriptedService(answer)))[-1]
        assert name == f"response.{status}"
        told = end["response"]
    else:
        told = await respond(answer)

    assert (told["status"], (told["incomplete_details"] or {}).get("reason")) == (status, reason)
    messages = [item for item in told["output"] if item["type"] == "message"]
    assert all(item["status"] == status for item in messages)


# --- a stream -----------------------------------------------------------------------------------------


async def test_a_stream_has_the_documented_events_in_their_order() -> None:
    answer = an_answer("Hello", tool_calls=(CALL,), finish_reason="tool_calls", extras=REASONING, usage=Usage(2, 3))

    read = await stream(ScriptedService(answer))

    assert names(read) == [
        "created",
        "in_progress",
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    assert len({data["response"]["id"] for _, data in (read[0], read[1], read[-1])}) == 1
    assert (read[0][1]["response"]["status"], read[0][1]["response"]["output"]) == ("in_progress", [])
    assert read[-1][1]["response"]["usage"]["output_tokens"] == 3
    assert read[-1][1]["response"]["neverblank"]["served_by"] == "primary"
    assert [item["type"] for item in built(read)] == ["reasoning", "message", "function_call"]


async def test_white_space_alone_is_no_message() -> None:
    only_calls = await stream(ScriptedService(CALLING, pieces=("\n", " ")))
    before_a_text = await stream(ScriptedService(pieces=("\n", "Hello")))

    assert [item["type"] for item in built(only_calls)] == ["function_call"]
    assert built(before_a_text)[0]["content"][0]["text"] == "\nHello"


async def test_where_a_form_was_demanded_the_last_resort_is_a_refusal() -> None:
    told = await respond(last_resort(refusal=True), **FORCING)
    read = await stream(ScriptedService(last_resort(refusal=True), pieces=(MESSAGE,)), **FORCING)

    refusal = {"type": "refusal", "refusal": MESSAGE}
    assert [item["content"] for item in told["output"]] == [[refusal]]
    assert [item["content"] for item in built(read)] == [[refusal]]
    assert names(read)[3:7] == ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]
    assert read[-1][1]["response"]["model"] == "last_resort"


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize(("body", "sort"), [({}, "output_text"), (FORCING, "refusal")])
async def test_a_request_that_is_turned_away_unread_gets_a_response_with_a_proper_end(
    body: dict[str, Any], sort: str, *, stream_it: bool
) -> None:
    service = ScriptedService(is_full=True)
    response = await send(service, RESPONSES, HI | body | {"stream": stream_it})

    told = events(response)[-1][1]["response"] if stream_it else response.json()
    assert (told["status"], told["model"], told["output"][0]["content"][0]["type"]) == (
        "completed",
        "last_resort",
        sort,
    )
    assert MESSAGE in response.text


async def test_after_an_error_of_our_own_the_last_resort_ends_the_item_that_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = ScriptedStream.__aiter__

    async def broken(self: ScriptedStream) -> Any:
        async for item in whole(self):
            yield item
            if self.read == 1:
                raise RuntimeError("a bug of ours")

    monkeypatch.setattr(ScriptedStream, "__aiter__", broken)

    read = await stream(ScriptedService())

    (only,) = built(read)
    assert only["content"][0]["text"] == f"Hel\n\n{MESSAGE}"
    assert (read[-1][0], only["status"]) == ("response.incomplete", "incomplete")


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_what_is_not_kept_here_is_refused_by_name(field: str) -> None:
    response = await send(ScriptedService(), RESPONSES, HI | {field: "resp_1"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


async def test_a_prompt_that_is_too_long_has_openais_code() -> None:
    problem = Problem("input", "has too many tokens", "fewer", code=CONTEXT_LENGTH)

    response = await send(ScriptedService(problem), RESPONSES, HI)

    assert (response.status_code, response.json()["error"]["code"]) == (400, CONTEXT_LENGTH)


@pytest.mark.looptime
async def test_what_turns_out_to_be_invalid_behind_a_pending_head_is_an_event_that_says_so() -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"), opens_after_s=25.0)

    response = await send(service, RESPONSES, HI | {"stream": True})

    told = response.text.split("\n\n")
    assert told[:2] == [": keep-alive", ": keep-alive"]
    assert told[2].startswith("event: error\n")
    assert '"param":"seed"' in told[2]


async def test_an_answer_that_nothing_may_stand_in_for_is_an_error() -> None:
    answer = an_answer("no vector", unavailable="vector_unavailable")

    response = await send(ScriptedService(answer), RESPONSES, HI)

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
