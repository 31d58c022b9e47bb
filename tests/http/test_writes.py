"""The head of a response and what follows it are one write."""

import asyncio
from typing import Any

import pytest
import uvicorn.config
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from deployments.http.writes import JoiningProtocol, join_writes


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


def connected(app: Any) -> tuple[JoiningProtocol, Wire]:
    config = uvicorn.Config(app, http=JoiningProtocol, lifespan="off", log_config=None)
    config.load()
    protocol, wire = JoiningProtocol(config, ServerState(), {}, asyncio.get_running_loop()), Wire()
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


def test_a_server_that_leaves_the_choice_of_its_protocol_to_uvicorn_joins_its_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", dict(uvicorn.config.HTTP_PROTOCOLS))
    join_writes()
    config = uvicorn.Config(PlainTextResponse("Hello"), log_config=None)
    config.load()

    assert config.http_protocol_class is JoiningProtocol
