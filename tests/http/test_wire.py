"""The bytes of the HTTP surface: formats, headers, statuses, what is turned away and what is closed."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from deployments.http.asgi import build_asgi
from deployments.policy.answer import Answer
from deployments.policy.outcome import Usage
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CALL, CHAT, ENDPOINTS, events, send


class OneRefused(ScriptedService):
    """Refuses one prompt, and keeps the others waiting until they are given up."""

    given_up = 0

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        if request.text == "refused":
            raise InvalidRequestError(Problem("prompt", "was refused by the model", "another one"))
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        raise AssertionError("nobody sets the event")


# --- streams ----------------------------------------------------------------------------------------


async def test_a_native_stream_is_tokens_and_then_the_whole_answer() -> None:
    response = await send(ScriptedService(), "/v1/infer", {"text": "Hi", "stream": True}, headers={"x-request-id": "r"})

    assert response.headers["content-type"].startswith("text/event-stream")
    assert events(response) == [
        ("token", {"text": "Hel", "model": "m", "served_by": "primary"}),
        ("token", {"text": "lo", "model": "m", "served_by": "primary"}),
        ("done", an_answer().to_json("r")),
    ]


async def test_a_chat_stream_is_a_role_contents_an_end_counts_and_done() -> None:
    service = ScriptedService(an_answer(usage=Usage(2, 3)))
    body = CHAT | {"stream": True, "stream_options": {"include_usage": True}}

    *chunks, done = [data for _, data in events(await send(service, "/v1/chat/completions", body))]

    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 5)
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(("path", "body"), ENDPOINTS[1:3])
async def test_each_chunk_has_the_counts_so_far_where_that_is_asked_for_and_the_end_those_that_are_true(
    path: str, body: dict[str, Any]
) -> None:
    service = ScriptedService(an_answer(usage=Usage(20, 30)))
    options = {"include_usage": True, "continuous_usage_stats": True}

    *chunks, _ = [
        data for _, data in events(await send(service, path, {**body, "stream": True, "stream_options": options}))
    ]

    counts = [(chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]) for chunk in chunks]
    assert counts[-4:] == [(1, 1), (1, 2), (20, 30), (20, 30)]
    assert [chunk["choices"] == [] for chunk in chunks[-2:]] == [False, True]


async def test_counts_in_each_chunk_are_those_that_are_to_come_at_the_end_and_need_them() -> None:
    options = {"continuous_usage_stats": True}

    response = await send(ScriptedService(), "/v1/chat/completions", CHAT | {"stream": True, "stream_options": options})

    assert not any("usage" in data for _, data in events(response) if isinstance(data, dict))


async def test_a_completion_stream_is_texts_and_an_end() -> None:
    *chunks, done = [
        data for _, data in events(await send(ScriptedService(), "/v1/completions", {"prompt": "Hi", "stream": True}))
    ]

    assert ([chunk["choices"][0]["text"] for chunk in chunks], done) == (["Hel", "lo", ""], "[DONE]")


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_stream_is_closed_when_it_is_over(path: str, body: dict[str, Any]) -> None:
    service = ScriptedService()

    await send(service, path, body | {"stream": True})

    assert service.streams[0].closed


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_stream_whose_client_has_gone_before_its_first_byte_is_closed(path: str, body: dict[str, Any]) -> None:
    service = ScriptedService()
    content = json.dumps(body | {"stream": True}).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send_nothing(_: Any) -> None:
        raise OSError("gone")

    asgi = {"version": "3.0", "spec_version": "2.4"}
    scope = {"type": "http", "asgi": asgi, "method": "POST", "path": path, "headers": [], "query_string": b""}
    with pytest.raises(ClientDisconnect):
        await build_asgi(service)(scope, receive, send_nothing)

    assert service.streams[0].closed


# --- the truth in OpenAI's words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (an_answer(), "stop"),
        (an_answer(finish_reason="length"), "length"),
        (an_answer(finish_reason="deadline"), "length"),
        (an_answer(finish_reason="content_filter"), "content_filter"),
        (last_resort(), "stop"),
        (last_resort(attempts=(BROKEN_OFF,)), "length"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_only_what_is_complete_ends_with_stop(answer: Answer, reason: str, *, stream: bool) -> None:
    response = await send(ScriptedService(answer), "/v1/chat/completions", CHAT | {"stream": stream})
    last = events(response)[-2][1] if stream else response.json()

    assert last["choices"][0]["finish_reason"] == reason
    assert last["neverblank"]["finish_reason"] == answer.finish_reason


async def test_tool_calls_stand_where_clients_look_for_them() -> None:
    answer = an_answer({"tool_calls": [CALL]}, tool_calls=(CALL,), finish_reason="tool_calls")

    choice = (await send(ScriptedService(answer), "/v1/chat/completions", CHAT)).json()["choices"][0]

    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}
    assert choice["finish_reason"] == "tool_calls"


async def test_a_result_that_is_no_text_is_told_as_json() -> None:
    answer = await send(ScriptedService(an_answer({"label": "cat"})), "/v1/chat/completions", CHAT)

    assert answer.json()["choices"][0]["message"]["content"] == '{"label":"cat"}'


async def test_where_a_form_was_demanded_the_last_resort_is_a_refusal_and_no_data() -> None:
    service = ScriptedService(last_resort(refusal=True))

    choice = (await send(service, "/v1/chat/completions", CHAT)).json()["choices"][0]
    native = (await send(service, "/v1/infer", {"text": "Hi"})).json()

    assert choice["message"] == {"role": "assistant", "content": None, "refusal": MESSAGE}
    assert choice["finish_reason"] == "stop"
    assert (native["result"], native["refusal"]) == (MESSAGE, True)


async def test_a_refusal_is_streamed_as_one() -> None:
    service = ScriptedService(last_resort(refusal=True), pieces=(MESSAGE,))

    chunks = [data for _, data in events(await send(service, "/v1/chat/completions", CHAT | {"stream": True}))[:-1]]

    assert [chunk["choices"][0]["delta"].get("refusal") for chunk in chunks] == [None, MESSAGE, None]
    assert not any(chunk["choices"][0]["delta"].get("content") for chunk in chunks)


FORM = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_for_a_form_that_is_turned_away_unread_is_refused_in_words(*, stream: bool) -> None:
    response = await send(ScriptedService(is_full=True), "/v1/chat/completions", CHAT | FORM | {"stream": stream})

    choices = [chunk["choices"][0] for _, chunk in events(response)[:-1]] if stream else response.json()["choices"]
    assert MESSAGE in [choice.get("delta", choice.get("message")).get("refusal") for choice in choices]


async def test_prompts_of_one_request_end_together() -> None:
    service = OneRefused()

    response = await send(service, "/v1/completions", {"prompt": ["a", "refused", "b"]})

    assert response.status_code == 400
    assert service.given_up == 2
