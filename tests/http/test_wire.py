"""The bytes of the HTTP surface: formats, headers, statuses, what is turned away and what is closed."""

import json
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.requests import ClientDisconnect

from deployments.http.asgi import build_asgi
from deployments.http.pages import openapi
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import Answered, Failed, Usage
from deployments.policy.problem import Problem
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ENDPOINTS = [("/v1/infer", {"text": "Hi"}), ("/v1/chat/completions", CHAT), ("/v1/completions", {"prompt": "Hi"})]


async def send(service: ScriptedService, path: str, body: Any = None, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(build_asgi(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        if body is None and "content" not in more:
            return await client.get(path)
        return await client.post(path, **({"json": body} if body is not None else {}), **more)


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    """Name and data of each event."""
    read = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        data = fields["data"]
        read.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return read


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


async def test_a_stream_of_several_prompts_is_refused_by_name() -> None:
    response = await send(ScriptedService(), "/v1/completions", {"prompt": ["a", "b"], "stream": True})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "stream")


# --- the truth in OpenAI's words ----------------------------------------------------------------------

BROKEN_OFF = Ended(Candidate(Tier.PRIMARY, "a"), 0.0, 1.0, Failed("boom"), from_character=0)


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


async def test_counts_are_true_or_none() -> None:
    counted = await send(ScriptedService(an_answer(usage=Usage(2, 3))), "/v1/chat/completions", CHAT)
    uncounted = await send(ScriptedService(), "/v1/chat/completions", CHAT)
    nobody = await send(ScriptedService(last_resort()), "/v1/chat/completions", CHAT)

    assert counted.json()["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert uncounted.json()["usage"] is None
    assert nobody.json()["usage"]["total_tokens"] == 0


async def test_tool_calls_stand_where_clients_look_for_them() -> None:
    answer = an_answer({"tool_calls": [CALL]}, tool_calls=(CALL,), finish_reason="tool_calls")

    choice = (await send(ScriptedService(answer), "/v1/chat/completions", CHAT)).json()["choices"][0]

    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}
    assert choice["finish_reason"] == "tool_calls"


async def test_a_result_that_is_no_text_is_told_as_json() -> None:
    answer = await send(ScriptedService(an_answer({"label": "cat"})), "/v1/chat/completions", CHAT)

    assert answer.json()["choices"][0]["message"]["content"] == '{"label":"cat"}'


# --- headers and statuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_headers_tell_who_has_answered(path: str, body: dict[str, Any], *, stream: bool) -> None:
    answered = Ended(Candidate(Tier.BACKUP, "b"), 0.0, 1.0, Answered("x"))
    answer = an_answer(model="b", served_by=Tier.BACKUP, degraded=True, attempts=(BROKEN_OFF, answered))

    headers = (await send(ScriptedService(answer), path, body | {"stream": stream})).headers

    assert (headers["x-neverblank-served-by"], headers["x-neverblank-degraded"]) == ("backup", "true")
    assert headers["x-neverblank-attempts"] == "primary/a=failed, backup/b=answered"


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_resort_has_the_status_of_the_policy(path: str, body: dict[str, Any], *, stream: bool) -> None:
    response = await send(ScriptedService(last_resort(), status=503), path, body | {"stream": stream})

    assert response.status_code == 503
    assert "Hel" in response.text if stream else MESSAGE in response.text


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_too_much_is_turned_away_unread_in_its_own_format(
    path: str, body: dict[str, Any], *, stream: bool
) -> None:
    service = ScriptedService(is_full=True)

    response = await send(service, path, body | {"stream": stream})

    assert (response.status_code, response.headers["retry-after"]) == (200, "1")
    assert MESSAGE in response.text
    assert response.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert service.asked == []


async def test_a_text_about_streams_asks_for_none() -> None:
    body = CHAT | {"messages": [{"role": "user", "content": 'Explain "stream": true to me.'}]}

    response = await send(ScriptedService(is_full=True), "/v1/chat/completions", body)

    assert response.headers["content-type"] == "application/json"


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS[1:])
async def test_a_mistake_is_an_error_of_openais(path: str, body: dict[str, Any]) -> None:
    error = (await send(ScriptedService(), path, body | {"temperature": 9})).json()["error"]

    assert (error["type"], error["param"]) == ("invalid_request_error", "temperature")
    assert "temperature" in error["message"]


async def test_a_mistake_is_a_native_problem() -> None:
    problem = (await send(ScriptedService(), "/v1/infer", {"text": "Hi", "temperature": 9})).json()

    assert (problem["error"]["type"], problem["error"]["field"]) == ("invalid_request", "temperature")
    assert problem["result"]


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_model_calls_invalid_is_the_callers(path: str, body: dict[str, Any], *, stream: bool) -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"))

    response = await send(service, path, body | {"stream": stream})

    assert response.status_code == 400
    error = response.json()["error"]
    assert "seed" in {error.get("param"), error.get("field")}


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_body_beyond_the_limit_is_refused_and_not_kept(path: str, body: dict[str, Any]) -> None:
    service = ScriptedService()

    response = await send(service, path, content=b"x" * 20_000)

    assert response.status_code == 413
    assert service.arriving == 0


async def test_models_are_listed_and_one_that_does_not_exist_is_not_found() -> None:
    assert (await send(ScriptedService(), "/v1/models/m")).json()["id"] == "m"
    missing = await send(ScriptedService(), "/v1/models/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


# --- the description --------------------------------------------------------------------------------


def test_the_description_is_valid_openapi_and_names_every_endpoint() -> None:
    validate(openapi())

    served = {getattr(route, "path", "") for route in build_asgi(ScriptedService()).routes} - {"/"}
    assert openapi()["paths"].keys() == served


async def test_the_description_is_served_for_programs_and_for_people() -> None:
    assert (await send(ScriptedService(), "/openapi.json")).json() == openapi()
    page = await send(ScriptedService(), "/docs")
    assert "openapi.json" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
