"""OpenAI's Responses on the wire, as streams of events."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.stream_events import ExtrasDelta, StreamDone, StreamEvent, TextDelta
from tests.http.responding import CALLING, FORCING, HI, REASONING, RESPONSES, built, names, respond, stream
from tests.http.service import MESSAGE, ScriptedService, ScriptedStream, an_answer, last_resort
from tests.http.test_last_exit import BreaksOff
from tests.http.wire import CALL, MESSAGES, events, send


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
    async def broken(*_: object) -> ScriptedStream:
        return BreaksOff((), an_answer())

    monkeypatch.setattr(ScriptedService, "stream", broken)

    read = await stream(ScriptedService())

    (only,) = built(read)
    assert only["content"][0]["text"] == f"Half\n\n{MESSAGE}"
    assert (read[-1][0], only["status"]) == ("response.incomplete", "incomplete")


class GoneOnWith(ScriptedStream):
    """A text that another model goes on with, which has used a tool of its provider's before."""

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        searched = {"output_items": [{"done": {"type": "web_search_call", "id": "ws_1", "status": "completed"}}]}
        yield TextDelta("Half", "other", self.answer.served_by)
        yield ExtrasDelta(Extras(message=searched), self.answer.model, self.answer.served_by)
        yield TextDelta(" and half", self.answer.model, self.answer.served_by)
        yield StreamDone(self.answer)


@pytest.mark.parametrize(("path", "body"), [(RESPONSES, HI), ("/v1/messages", MESSAGES)])
async def test_what_a_model_that_goes_on_has_done_before_does_not_split_the_text(
    path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone_on_with(*_: object) -> ScriptedStream:
        return GoneOnWith((), an_answer())

    monkeypatch.setattr(ScriptedService, "stream", gone_on_with)

    read = events(await send(ScriptedService(), path, body | {"stream": True}))

    begun = [data for name, data in read if name in {"response.output_item.added", "content_block_start"}]
    assert [(each.get("item") or each["content_block"])["type"] for each in begun] in (["message"], ["text"])
