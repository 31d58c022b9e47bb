"""Bodies that come slowly or not at all, and methods that are not allowed: the caller is told, and how to mend it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments.http.anthropic import FORM_DEMANDED_IN_MESSAGES
from deployments.http.arrival import LONGEST_REQUEST_ID, skim
from deployments.request.anthropic import messages_request
from deployments.request.response_format import read_response_format
from tests.http.service import ScriptedService
from tests.http.wire import ENDPOINTS, MESSAGES, send

CODES = {path: None if path in {"/v1/infer", "/v1/messages"} else "timeout" for path, _ in ENDPOINTS}
SECONDS_BETWEEN_BYTES = 7.0


async def trickling() -> AsyncIterator[bytes]:
    """A body that begins, and never ends."""
    while True:
        yield b" "
        await asyncio.sleep(SECONDS_BETWEEN_BYTES)


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_an_id_of_any_length_makes_no_answer_longer_than_one_that_is_short(
    path: str, body: dict[str, Any]
) -> None:
    response = await send(ScriptedService(), path, body | {"stream": True}, headers={"x-request-id": "x" * 50_000})

    assert "x" * LONGEST_REQUEST_ID in response.text
    assert "x" * (LONGEST_REQUEST_ID + 1) not in response.text


@pytest.mark.looptime
@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_body_that_trickles_in_is_given_up_at_the_default_deadline(path: str, body: dict[str, Any]) -> None:
    service = ScriptedService()

    response = await send(service, path, content=trickling())

    assert response.status_code == 408
    error = response.json()["error"]
    assert (error.get("field", error.get("param")), error.get("code")) == ("body", CODES[path])
    assert "30 s" in response.text
    assert asyncio.get_running_loop().time() == service.limits.timeout_s
    assert (service.arriving, service.asked) == (0, [])


LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
OURS = {"name": "look", "input_schema": {"type": "object"}}
NAMED = {"type": "function", "function": {"name": "look"}}
REQUIRED: dict[str, Any] = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}},
        *({"tools": [LOOK], "tool_choice": choice} for choice in ("none", "auto", "required", NAMED, REQUIRED)),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_that_is_skimmed_demands_a_form_where_one_that_is_read_does(
    wish: dict[str, Any], indent: int | None
) -> None:
    form = read_response_format(wish)

    assert skim(json.dumps(wish, indent=indent).encode()).form is form.demands_form


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        *({"tools": [OURS], "tool_choice": {"type": sort}} for sort in ("none", "auto", "any")),
        {"tools": [OURS], "tool_choice": {"disable_parallel_tool_use": True, "name": "look", "type": "tool"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_skimmed_body_of_anthropics_format_does_so_by_its_own_words(wish: dict[str, Any], indent: int | None) -> None:
    body = json.dumps(MESSAGES | wish, indent=indent).encode()

    form = messages_request(body, ScriptedService().limits).response_format

    assert skim(body, FORM_DEMANDED_IN_MESSAGES).form is form.demands_form


@pytest.mark.looptime
@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_body_of_a_request_that_is_turned_away_is_waited_for_as_any_other(
    path: str, body: dict[str, Any]
) -> None:
    response = await send(ScriptedService(is_full=True), path, content=trickling())

    assert (response.status_code, asyncio.get_running_loop().time()) == (408, 30.0)


@pytest.mark.looptime
async def test_a_slow_request_that_is_turned_away_is_answered_in_the_form_that_it_asks_for() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"messages": [], "response_format": {"type": '
        await asyncio.sleep(20.0)
        yield b'"json_object"}, "stream": true}'

    response = await send(ScriptedService(is_full=True), "/v1/chat/completions", content=slowly())

    assert response.headers["content-type"].startswith("text/event-stream")
    assert '"refusal":"I am sorry' in response.text


async def test_a_body_of_a_request_that_is_turned_away_is_held_to_the_limit_as_any_other() -> None:
    response = await send(ScriptedService(is_full=True), "/v1/infer", content=b"x" * 20_000)

    assert response.status_code == 413


@pytest.mark.looptime
async def test_what_follows_a_body_that_is_too_large_is_waited_for_a_few_seconds_only() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 20_000
        await asyncio.Event().wait()

    response = await send(ScriptedService(), "/v1/infer", content=body())

    assert (response.status_code, asyncio.get_running_loop().time()) == (413, 5.0)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/infer"])
async def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(path: str) -> None:
    response = await send(ScriptedService(), path)

    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
