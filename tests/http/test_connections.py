"""Bytes on a router's connections: HTTP/1.0, leave to send a body, HEAD."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments.http.asgi import build_asgi
from deployments.http.protocol import RouterProtocol
from tests.http.service import ScriptedService
from tests.http.test_protocol import Wire, connected

STREAM = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true}'


@pytest.fixture
async def wired() -> AsyncIterator[tuple[RouterProtocol, Wire]]:
    protocol, wire = connected(build_asgi(ScriptedService()))
    yield protocol, wire
    protocol.connection_lost(None)


def head(method: str, path: str, version: str = "1.1", **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").replace("_", "-").encode()


async def answered(wire: Wire, end: bytes) -> bytes:
    """What was written, once it ends with `end`; or is all of it, where the connection is closed."""
    async with asyncio.timeout(10):
        while not (wire.closed or b"".join(wire.writes).endswith(end)):
            wire.written.clear()
            await wire.written.wait()
    return b"".join(wire.writes)


async def test_a_stream_to_a_caller_of_http_1_0_has_no_chunks_and_ends_with_its_connection(
    wired: tuple[RouterProtocol, Wire],
) -> None:
    protocol, wire = wired
    protocol.data_received(head("POST", "/v1/chat/completions", "1.0", content_length=len(STREAM)) + STREAM)

    written = await answered(wire, b"data: [DONE]\n\n")
    await asyncio.gather(*protocol.tasks)

    top, _, body = written.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower()
    assert b"connection: close" in top.lower()
    assert body.startswith(b"data: {")
    assert body.endswith(b"}\n\ndata: [DONE]\n\n")
    assert (len(wire.writes) > 3, wire.closed) == (True, True)  # piece by piece, as it is written


async def test_a_whole_answer_to_a_caller_of_http_1_0_has_its_length(wired: tuple[RouterProtocol, Wire]) -> None:
    protocol, wire = wired
    protocol.data_received(head("POST", "/v1/infer", "1.0", content_length=13) + b'{"text":"Hi"}')
    await asyncio.gather(*protocol.tasks)

    top, _, body = (await answered(wire, b"}")).partition(b"\r\n\r\n")

    assert f"content-length: {len(body)}".encode() in top
    assert wire.closed


async def test_a_stream_to_anybody_else_has_chunks_and_keeps_its_connection(wired: tuple[RouterProtocol, Wire]) -> None:
    protocol, wire = wired
    protocol.data_received(head("POST", "/v1/chat/completions", content_length=len(STREAM)) + STREAM)

    written = await answered(wire, b"0\r\n\r\n")

    assert b"transfer-encoding: chunked" in written
    assert not wire.closed


async def test_who_waits_for_leave_to_send_a_body_is_given_it(wired: tuple[RouterProtocol, Wire]) -> None:
    protocol, wire = wired
    protocol.data_received(head("POST", "/v1/infer", content_length=13, expect="100-continue"))

    assert await answered(wire, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    protocol.data_received(b'{"text":"Hi"}')
    assert b"HTTP/1.1 200" in await answered(wire, b"}")


async def test_who_waits_for_leave_to_send_too_large_a_body_is_told_before_sending_it(
    wired: tuple[RouterProtocol, Wire],
) -> None:
    protocol, wire = wired
    protocol.data_received(head("POST", "/v1/infer", content_length=20_000, expect="100-continue"))

    written = await answered(wire, b"}")

    assert written.startswith(b"HTTP/1.1 413")


async def test_head_is_answered_as_get_without_a_body(wired: tuple[RouterProtocol, Wire]) -> None:
    protocol, wire = wired
    protocol.data_received(head("HEAD", "/v1/models"))

    written = await answered(wire, b"\r\n\r\n")

    assert written.startswith(b"HTTP/1.1 200")
    assert b"content-length: 0" not in written
    assert not wire.closed
