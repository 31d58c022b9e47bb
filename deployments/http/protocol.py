"""The HTTP protocol of a router's connections: joins writes, and cancels a request whose caller has disconnected.

By default, Serve watches each request for a disconnect and for a time-out, with two tasks, a queue and a timer. Two
headers tell Serve to leave both to the application. The connection knows of a disconnect anyway. The time-out has to be
off: Serve reads it from `x-request-timeout-seconds`, which here is the deadline of a stream's first content, and would
cut the stream at that time without an error.
"""

import asyncio
from typing import Any, cast
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from deployments.http.arrival import ARRIVED, REQUEST_ID_HEADER, SENT
from deployments.http.writes import JoinedWrites
from deployments.ray_serve.ingress import LEFT_TO_THE_ROUTER, serve_http_with

_REQUEST_ID = REQUEST_ID_HEADER.encode()


class RouterProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """The protocol that uvicorn chooses, with joined writes and disconnects handled here."""

    app: ASGIApp

    def __init__(self, *args: Any, **options: Any) -> None:
        """Serve the application of uvicorn's configuration."""
        super().__init__(*args, **options)
        self._application, self.app = self.app, self._answer
        self._answering: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Speak HTTP on `transport`, with its writes joined."""
        super().connection_made(JoinedWrites(cast("asyncio.Transport", transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that is being answered: its caller has disconnected."""
        super().connection_lost(exc)
        if self._answering is not None and not self.cycle.response_complete:
            self._answering.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.cycle.disconnected:  # disconnected before it began
            return
        sent = scope["headers"]
        if _REQUEST_ID not in dict(sent):  # Serve would make a longer id; it echoes this one
            sent.append((_REQUEST_ID, uuid4().hex.encode()))
        scope[SENT], scope["headers"] = sent, sent + LEFT_TO_THE_ROUTER
        scope[ARRIVED] = not self.cycle.more_body
        self._answering = answering = asyncio.current_task(self.loop)
        if scope["http_version"] == "1.0" and hasattr(self.cycle, "chunked_encoding"):
            send = _unchunked(self.cycle, send)
        try:
            await self._application(scope, receive, send)
        finally:
            if self._answering is answering:  # else the next request of the connection is being answered already
                self._answering = None


def _unchunked(cycle: Any, send: Send) -> Send:
    """Return `send` for a caller of HTTP/1.0, which knows no chunks: the end of the connection is the end of the body.

    uvicorn's protocol with httptools sends chunks to such a caller, too (0.54); its `cycle` is told to write each piece
    as it is.
    """
    of_unknown_length = False

    async def send_plain(message: Message) -> None:
        nonlocal of_unknown_length
        if message["type"] == "http.response.start":
            of_unknown_length = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if of_unknown_length:
                cycle.chunked_encoding = False
        elif of_unknown_length:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_plain


def use_protocol() -> None:
    """Make every uvicorn server that this process starts from now on use `RouterProtocol`."""
    serve_http_with(f"{__name__}:{RouterProtocol.__name__}")
