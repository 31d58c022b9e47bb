"""Streams that are alive on the wire: a head that says it is pending, comments in silences, and an honest end."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from deployments.http.alive import COMMENT
from deployments.http.asgi import build_asgi
from deployments.http.message_writer import PING
from deployments.policy.attempt import Tier
from deployments.policy.problem import Problem
from deployments.policy.stream_events import TextDelta
from tests.http.service import MESSAGE, ScriptedService, ScriptedStream, last_resort
from tests.http.wire import CHAT, ENDPOINTS, MESSAGES, send

pytestmark = pytest.mark.looptime(idle_timeout=1)

REFUSAL = Problem("seed", "was refused by the model", "what it takes")


class Caller:
    """Takes what an application sends, and notes when.

    Attributes:
        heads: the headers of each head.
        sent: the time and the bytes of each piece of the body.
        holds_s: seconds for which it takes nothing more, from its first byte on.
    """

    def __init__(self, holds_s: float = 0.0) -> None:
        self.heads: list[dict[str, str]] = []
        self.sent: list[tuple[float, bytes]] = []
        self.statuses: list[int] = []
        self.ended = False
        self.holds_s = holds_s

    async def ask(self, service: ScriptedService, path: str, body: Any) -> None:
        content = json.dumps(body).encode()
        asgi = {"version": "3.0", "spec_version": "2.4"}
        scope = {"type": "http", "asgi": asgi, "method": "POST", "path": path, "headers": [], "query_string": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        await build_asgi(service)(scope, receive, self._take)

    async def _take(self, message: Any) -> None:
        assert not self.ended, "something is sent behind the end"
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])
            self.heads.append({name.decode(): value.decode() for name, value in message["headers"]})
            return
        self.ended = not message.get("more_body", False)
        if message.get("body"):
            self.sent.append((asyncio.get_running_loop().time(), message["body"]))
        hold, self.holds_s = self.holds_s, 0.0
        await asyncio.sleep(hold)

    @property
    def comments(self) -> list[float]:
        return [at for at, data in self.sent if data == COMMENT]

    @property
    def pings(self) -> list[float]:
        return [at for at, data in self.sent if data == PING]

    @property
    def text(self) -> str:
        return b"".join(data for _, data in self.sent).decode()


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_while_the_first_content_is_long_in_coming_the_head_says_pending_and_comments_follow(
    path: str, body: dict[str, Any]
) -> None:
    caller = Caller()

    await caller.ask(ScriptedService(opens_after_s=25.0), path, body | {"stream": True})

    assert (caller.pings if path == "/v1/messages" else caller.comments) == [10.0, 20.0]
    assert len(caller.heads) == 1
    head = caller.heads[0]
    assert {head[f"x-neverblank-{name}"] for name in ("served-by", "degraded", "attempts")} == {"pending"}
    assert head["content-type"] == "text/event-stream; charset=utf-8"
    assert '"served_by":"primary"' in caller.text
    assert "Hel" in caller.text
    assert caller.ended


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_stream_that_is_never_silent_for_long_has_a_true_head_and_no_comments(
    path: str, body: dict[str, Any]
) -> None:
    caller = Caller()

    await caller.ask(ScriptedService(opens_after_s=9.9, pause_s=9.9), path, body | {"stream": True})

    assert (caller.comments, caller.pings) == ([], [])
    assert [head["x-neverblank-served-by"] for head in caller.heads] == ["primary"]


async def test_each_long_silence_within_a_stream_is_filled() -> None:
    caller = Caller()

    await caller.ask(ScriptedService(pause_s=15.0), "/v1/chat/completions", CHAT | {"stream": True})

    assert caller.comments == [10.0, 25.0, 40.0]
    assert [head["x-neverblank-served-by"] for head in caller.heads] == ["primary"]


async def test_a_silence_may_be_left_empty() -> None:
    caller = Caller()

    await caller.ask(
        ScriptedService(opens_after_s=25.0, pause_s=25.0, silence_s=0.0), "/v1/infer", {"text": "Hi", "stream": True}
    )

    assert caller.comments == []
    assert [head["x-neverblank-served-by"] for head in caller.heads] == ["primary"]


async def test_a_reader_that_does_not_read_gets_no_comments() -> None:
    caller = Caller(holds_s=60.0)

    await caller.ask(ScriptedService(), "/v1/infer", {"text": "Hi", "stream": True})

    assert caller.comments == []


async def test_a_reader_that_does_not_even_read_a_comment_gets_no_second_one() -> None:
    caller = Caller(holds_s=60.0)

    await caller.ask(ScriptedService(opens_after_s=25.0), "/v1/infer", {"text": "Hi", "stream": True})

    assert caller.comments == [10.0]
    assert caller.ended


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_last_resort_behind_a_pending_head_is_a_proper_end_with_the_status_that_was_sent(
    path: str, body: dict[str, Any]
) -> None:
    caller = Caller()
    service = ScriptedService(last_resort(), (MESSAGE,), status=503, opens_after_s=25.0)

    await caller.ask(service, path, body | {"stream": True})

    assert caller.statuses == [200]
    assert MESSAGE in caller.text
    assert '"served_by":"last_resort"' in caller.text


@pytest.mark.parametrize(("path", "body"), ENDPOINTS[1:3])
async def test_a_request_that_turns_out_to_be_invalid_behind_a_pending_head_ends_with_an_error_object(
    path: str, body: dict[str, Any]
) -> None:
    caller = Caller()

    await caller.ask(ScriptedService(REFUSAL, opens_after_s=15.0), path, body | {"stream": True})

    error, done = caller.text.removeprefix(COMMENT.decode()).strip().split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["param"] == "seed"
    assert done == "data: [DONE]"
    assert caller.ended


@pytest.mark.parametrize(
    ("path", "body", "field"), [("/v1/infer", {"text": "Hi"}, "field"), ("/v1/messages", MESSAGES, "param")]
)
async def test_the_same_is_an_event_of_its_own_in_the_native_api_and_in_anthropics(
    path: str, body: dict[str, Any], field: str
) -> None:
    caller = Caller()

    await caller.ask(ScriptedService(REFUSAL, opens_after_s=15.0), path, body | {"stream": True})

    *_, error = caller.text.strip().split("\n\n")
    name, data = error.split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"][field] == "seed"


async def test_an_invalid_request_before_any_head_is_a_400() -> None:
    response = await send(ScriptedService(REFUSAL, opens_after_s=5.0), "/v1/chat/completions", CHAT | {"stream": True})

    assert response.status_code == 400


async def test_a_caller_that_goes_away_while_the_head_is_pending_cancels_what_is_opening() -> None:
    caller, service = Caller(), ScriptedService(opens_after_s=60.0)
    asking = asyncio.create_task(caller.ask(service, "/v1/chat/completions", CHAT | {"stream": True}))
    await asyncio.sleep(25.0)

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(60.0)

    assert caller.comments == [10.0, 20.0]
    assert service.streams == []


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), TimeoutError("ours"), ConnectionResetError()])
@pytest.mark.parametrize("pieces", [None, ("Half",)])
async def test_an_error_of_the_operating_systems_is_ours_and_not_the_callers_leaving(
    error: OSError, pieces: tuple[str, ...] | None, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(stream: ScriptedStream) -> Any:
        for piece in pieces or ():
            yield TextDelta(piece, "m", Tier.PRIMARY)
        raise error

    async def opens(*_: Any) -> Any:
        raise error

    if pieces:
        monkeypatch.setattr(ScriptedStream, "__aiter__", breaks)
    else:
        monkeypatch.setattr(ScriptedService, "stream", opens)
    caller = Caller()

    await caller.ask(ScriptedService(), "/v1/chat/completions", CHAT | {"stream": True})

    assert (caller.statuses, caller.ended) == ([200], True)
    assert MESSAGE in caller.text
    assert [(line["event"], type(error).__name__ in line["exception"]) for line in events] == [("internal_error", True)]


class Gone(Caller):
    """Has gone when the first byte is sent to it."""

    async def _take(self, message: Any) -> None:
        raise OSError("gone")


async def test_a_caller_that_cannot_be_reached_with_a_comment_is_found_gone_by_what_comes_next() -> None:
    service = ScriptedService(opens_after_s=25.0)

    with pytest.raises(ClientDisconnect):
        await Gone().ask(service, "/v1/chat/completions", CHAT | {"stream": True})

    assert asyncio.get_running_loop().time() == 25.0
    assert service.streams[0].closed
