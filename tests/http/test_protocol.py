"""A router's connections: a response is one write, one whose caller has gone is given up, and Serve leaves it to us."""

import asyncio
from typing import Any

import pytest
import uvicorn.config
from ray.serve._private.http_util import parse_disconnect_disabled_header, parse_request_timeout_header
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from deployments.http.arrival import read_body, read_headers, read_request_id
from deployments.http.protocol import RouterProtocol, use_protocol
from deployments.policy.problem import InvalidRequestError
from deployments.request.body import Limits


class Wire(asyncio.Transport):
    """Notes each write, and that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.written = asyncio.Event()

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))
        self.written.set()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connected(app: Any) -> tuple[RouterProtocol, Wire]:
    config = uvicorn.Config(app, http=RouterProtocol, lifespan="off", log_config=None)
    config.load()
    protocol, wire = RouterProtocol(config, ServerState(), {}, asyncio.get_running_loop()), Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def test_the_head_of_a_response_and_its_body_are_one_write() -> None:
    protocol, wire = connected(PlainTextResponse("Hello"))

    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(wire.written.wait(), 10)

    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.writes[0].endswith(b"\r\n\r\nHello")
    assert not wire.closed


async def test_a_connection_is_closed_behind_what_was_written() -> None:
    protocol, wire = connected(PlainTextResponse("Hello"))

    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    await asyncio.wait_for(wire.written.wait(), 10)

    assert b"".join(wire.writes).endswith(b"Hello")
    assert wire.closed


async def test_a_head_that_nothing_follows_yet_is_not_kept_back() -> None:
    gate = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"late"})

    protocol, wire = connected(app)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(wire.written.wait(), 10)
    wire.written.clear()
    gate.set()
    await asyncio.wait_for(wire.written.wait(), 10)

    assert wire.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.writes[1:] == [b"4\r\nlate\r\n0\r\n\r\n"]


async def test_each_piece_of_a_stream_is_written_at_once() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece, more in ((b"one", True), (b"two", True), (b"three", False)):
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    protocol, wire = connected(app)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(wire.written.wait(), 10)

    assert len(wire.writes) == 3
    assert wire.writes[0].endswith(b"\r\n\r\n3\r\none\r\n")


class Asked:
    """An application that answers when it is let, and notes what it was asked and how that ended."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.begun, self.given_up, self.gate = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        await PlainTextResponse("Hello")(scope, receive, send)


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"


async def test_a_request_whose_caller_has_gone_is_given_up() -> None:
    app = Asked()
    protocol, _ = connected(app)
    protocol.data_received(POST + b"\r\n{}")
    await asyncio.wait_for(app.begun.wait(), 10)

    protocol.connection_lost(None)

    await asyncio.wait_for(app.given_up.wait(), 10)


async def test_a_request_whose_caller_has_gone_before_it_was_begun_is_not_begun() -> None:
    app = Asked()
    protocol, _ = connected(app)
    protocol.data_received(POST + b"\r\n{}")
    protocol.connection_lost(None)

    app.gate.set()
    await asyncio.wait_for(asyncio.gather(*protocol.tasks), 10)

    assert not app.begun.is_set()


async def test_what_is_done_behind_a_complete_response_is_not_cut_off_by_its_caller_leaving() -> None:
    left, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("Hello")(scope, receive, send)
        await left.wait()
        ended.set()

    protocol, wire = connected(app)
    protocol.data_received(POST + b"\r\n{}")
    await asyncio.wait_for(wire.written.wait(), 10)
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    left.set()

    await asyncio.wait_for(ended.wait(), 10)


async def test_a_request_whose_caller_has_gone_is_given_up_though_the_one_before_it_ended_later_than_its_response() -> (
    None
):
    ends_first, second = asyncio.Event(), Asked()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/second":
            await second(scope, receive, send)
            return
        await PlainTextResponse("Hello")(scope, receive, send)
        await ends_first.wait()

    protocol, wire = connected(app)
    protocol.data_received(b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(wire.written.wait(), 10)
    first, *_ = protocol.tasks
    protocol.data_received(b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(second.begun.wait(), 10)
    ends_first.set()
    await asyncio.wait_for(first, 10)

    protocol.connection_lost(None)

    await asyncio.wait_for(second.given_up.wait(), 10)


@pytest.mark.parametrize("sent", [b"", b"x-request-timeout-seconds: 2\r\n", b"x-request-disconnect-disabled: ?0\r\n"])
async def test_serve_is_told_to_watch_neither_the_caller_nor_the_clock(sent: bytes) -> None:
    app = Asked()
    protocol, _ = connected(app)
    protocol.data_received(POST + sent + b"\r\n{}")
    await asyncio.wait_for(app.begun.wait(), 10)

    headers = dict(app.scope["headers"])  # as Serve reads them

    assert parse_disconnect_disabled_header(headers)
    assert parse_request_timeout_header(headers, 660.0) is None
    app.gate.set()


@pytest.mark.parametrize("seconds", ["0", "2.5", "-inf"])
async def test_the_deadline_that_a_caller_asks_for_is_read_as_it_was_sent(seconds: str) -> None:
    app = Asked()
    protocol, _ = connected(app)
    protocol.data_received(POST + f"x-request-timeout-seconds: {seconds}\r\n\r\n".encode() + b"{}")
    await asyncio.wait_for(app.begun.wait(), 10)

    assert read_headers(app.scope)["x-request-timeout-seconds"] == seconds
    app.gate.set()


async def test_a_request_without_an_id_is_given_one_that_everybody_reads_alike() -> None:
    app = Asked()
    protocol, _ = connected(app)
    protocol.data_received(POST + b"\r\n{}")
    await asyncio.wait_for(app.begun.wait(), 10)

    assert read_request_id(read_headers(app.scope)) == dict(app.scope["headers"])[b"x-request-id"].decode()
    app.gate.set()


@pytest.mark.parametrize("parts", [[b"{}"], [b"{", b"}"]], ids=["with its head", "in pieces"])
async def test_a_body_is_whole_however_it_arrives(parts: list[bytes]) -> None:
    bodies: list[bytes] = []
    read = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        bodies.append(await read_body(Request(scope, receive), Limits(10, 10.0, 10.0), read_headers(scope)))
        read.set()

    protocol, _ = connected(app)
    protocol.data_received(POST + b"\r\n" + parts[0])
    for part in parts[1:]:
        await asyncio.sleep(0)
        protocol.data_received(part)
    await asyncio.wait_for(read.wait(), 10)

    assert bodies == [b"{}"]


async def test_a_body_that_comes_with_its_head_is_held_to_the_limit() -> None:
    refused: list[InvalidRequestError] = []
    read = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        try:
            await read_body(Request(scope, receive), Limits(1, 10.0, 10.0), read_headers(scope))
        except InvalidRequestError as error:
            refused.append(error)
        read.set()

    protocol, _ = connected(app)
    protocol.data_received(POST + b"\r\n{}")
    await asyncio.wait_for(read.wait(), 10)

    assert [error.problem.status for error in refused] == [413]


def test_a_server_that_leaves_the_choice_of_its_protocol_to_uvicorn_joins_its_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", dict(uvicorn.config.HTTP_PROTOCOLS))
    use_protocol()
    config = uvicorn.Config(PlainTextResponse("Hello"), log_config=None)
    config.load()

    assert config.http_protocol_class is RouterProtocol
