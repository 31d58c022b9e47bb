"""An error of our own outside of the router's chain: the caller still gets an answer, in the form asked for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments.http import anthropic as anthropic_http
from deployments.http import openai as openai_http
from deployments.http import openai_responses as responses_http
from deployments.http.completions import Format
from deployments.http.message import message_body
from deployments.http.response_body import ResponseFrame
from deployments.policy.answer import Answer
from deployments.policy.extras import OUTPUT_ITEMS, Extras
from deployments.policy.stream_events import ExtrasDelta, StreamDone, TextDelta
from deployments.request import native
from tests.http.service import MESSAGE, ScriptedService, ScriptedStream, an_answer
from tests.http.wire import CHAT, ENDPOINTS, MESSAGES, send
from tests.http.wire import events as events_of

FORM = {"response_format": {"type": "json_object"}}
CUT = {
    "/v1/infer": ("last_resort", f"Half\n\n{MESSAGE}"),
    "/v1/chat/completions": "length",
    "/v1/completions": "length",
    "/v1/messages": "max_tokens",
    "/v1/responses": "incomplete",
}
"""How a stream that breaks by an error of ours is marked at its end."""


def breaks(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("a bug of ours")


@pytest.fixture(params=["reading", "writing", "answering"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ScriptedService:
    """A service of which one part breaks."""
    service = ScriptedService()
    match request.param:
        case "reading":
            monkeypatch.setattr(native, "from_body", breaks)
            monkeypatch.setattr(openai_http, "chat_request", breaks)
            monkeypatch.setattr(openai_http, "completion_request", breaks)
            monkeypatch.setattr(anthropic_http, "messages_request", breaks)
            monkeypatch.setattr(responses_http, "responses_request", breaks)
        case "writing":
            whole = Format.completion
            monkeypatch.setattr(Format, "completion", lambda *given: whole(*given) if _is_ours(given[1]) else breaks())
            monkeypatch.setattr(
                anthropic_http, "message_body", lambda *given: message_body(*given) if _is_ours(given[:1]) else breaks()
            )
            response = ResponseFrame.whole
            monkeypatch.setattr(
                ResponseFrame, "whole", lambda *given: response(*given) if _is_ours(given[1:2]) else breaks()
            )
            json_of = Answer.to_json
            monkeypatch.setattr(Answer, "to_json", lambda *given: json_of(*given) if _is_ours(given[:1]) else breaks())
        case "answering":
            monkeypatch.setattr(ScriptedService, "answer", breaks)
            monkeypatch.setattr(ScriptedService, "stream", breaks)
    return service


def _is_ours(answers: Any) -> bool:
    return all(answer.served_by.value == "last_resort" for answer in answers)


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_an_error_of_our_own_is_answered_by_the_last_resort(
    broken: ScriptedService, path: str, body: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    response = await send(broken, path, body)

    assert response.status_code == 200
    assert MESSAGE in response.text
    assert [line["where"] for line in events if line["level"] == "error"] == ["http"]


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("broken", ["reading", "answering"], indirect=True)
async def test_an_error_of_our_own_before_a_stream_is_answered_by_a_stream(
    broken: ScriptedService, path: str, body: dict[str, Any]
) -> None:
    response = await send(broken, path, body | {"stream": True})

    assert response.headers["content-type"].startswith("text/event-stream")
    assert MESSAGE in response.text


async def test_where_a_form_is_demanded_that_last_resort_is_a_refusal(broken: ScriptedService) -> None:
    message = (await send(broken, "/v1/chat/completions", CHAT | FORM)).json()["choices"][0]["message"]

    assert (message["content"], message["refusal"]) == (None, MESSAGE)


class BreaksOff(ScriptedStream):
    """A stream whose second piece cannot be given."""

    async def __aiter__(self) -> AsyncIterator[TextDelta | StreamDone]:
        yield TextDelta("Half", self.answer.model, self.answer.served_by)
        breaks()


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_stream_that_breaks_by_an_error_of_our_own_has_a_proper_end(
    path: str, body: dict[str, Any], events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ScriptedService(status=503)

    async def stream(*_: object) -> ScriptedStream:
        return BreaksOff((), an_answer())

    monkeypatch.setattr(ScriptedService, "stream", stream)
    response = await send(service, path, body | {"stream": True})

    told = events_of(response)
    assert response.status_code == 200
    assert f"\\n\\n{MESSAGE}" in response.text
    assert told[-1][0] in {"done", "message_stop", "response.incomplete"} or told[-1] == ("", "[DONE]")
    assert _marked_ends(told) == [CUT[path]]
    assert [line["where"] for line in events if line["level"] == "error"] == ["http"]


async def test_the_last_resort_behind_an_error_of_our_own_goes_on_in_the_block_that_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stream(*_: object) -> ScriptedStream:
        return BreaksOff((), an_answer())

    monkeypatch.setattr(ScriptedService, "stream", stream)
    told = events_of(await send(ScriptedService(), "/v1/messages", MESSAGES | {"stream": True}))

    assert [name.removeprefix("content_block_") for name, _ in told] == [
        *("message_start", "start", "delta", "delta", "stop", "message_delta", "message_stop")
    ]


class BreaksOffBetweenBlocks(ScriptedStream):
    """A stream that breaks behind a text and a block of its model's own."""

    async def __aiter__(self) -> AsyncIterator[TextDelta | ExtrasDelta]:
        yield TextDelta("Half", self.answer.model, self.answer.served_by)
        searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
        yield ExtrasDelta(
            Extras(message={OUTPUT_ITEMS: [{"done": searched}]}), self.answer.model, self.answer.served_by
        )
        breaks()


async def test_a_message_that_breaks_between_two_blocks_is_told_as_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream(*_: object) -> ScriptedStream:
        return BreaksOffBetweenBlocks((), an_answer())

    monkeypatch.setattr(ScriptedService, "stream", stream)
    told = events_of(await send(ScriptedService(), "/v1/messages", MESSAGES | {"stream": True}))

    started = [data["content_block"]["type"] for name, data in told if name == "content_block_start"]
    assert started == ["text", "server_tool_use", "text"]
    assert _marked_ends(told) == ["max_tokens"]


def _marked_ends(told: list[tuple[str, Any]]) -> list[Any]:
    """The reason of each end in a stream; of the native API also the result."""
    ends = []
    for name, data in told:
        match data:
            case {"choices": [{"finish_reason": str(reason)}]} | {"delta": {"stop_reason": reason}}:
                ends.append(reason)
            case {"response": {"status": status}} if name == f"response.{status}" and status != "in_progress":
                ends.append(status)
            case {"finish_reason": reason, "result": result} if name == "done":
                ends.append((reason, result))
    return ends


async def test_of_several_prompts_each_has_an_end_when_their_streams_break_by_an_error_of_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = iter([BreaksOff((), an_answer()), ScriptedStream(("Half",), an_answer(), pause_s=60.0)])

    async def stream(*_: object) -> ScriptedStream:
        return next(waiting)

    monkeypatch.setattr(ScriptedService, "stream", stream)
    asked = {"prompt": ["a", "b"], "stream": True, "stream_options": {"include_usage": True}}
    told = [data for _, data in events_of(await send(ScriptedService(), "/v1/completions", asked))]

    ends = [choice for chunk in told[:-1] for choice in chunk["choices"] if choice["finish_reason"]]
    texts = [
        ("".join(c["text"] for chunk in told[:-1] for c in chunk["choices"] if c["index"] == place)) for place in (0, 1)
    ]
    assert [(end["index"], end["finish_reason"]) for end in ends] == [(0, "length"), (1, "stop")]
    assert texts == [f"Half\n\n{MESSAGE}", MESSAGE]
    assert (told[-2]["choices"], told[-1]) == ([], "[DONE]")


@pytest.mark.looptime
async def test_the_last_resort_behind_nothing_but_signs_of_life_is_a_complete_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stream(*_: object) -> None:
        await asyncio.sleep(25.0)
        breaks()

    monkeypatch.setattr(ScriptedService, "stream", stream)
    told = events_of(await send(ScriptedService(), "/v1/chat/completions", CHAT | {"stream": True}))

    assert "".join(data["choices"][0]["delta"].get("content", "") for _, data in told[:-1]) == MESSAGE
    assert _marked_ends(told) == ["stop"]
