"""A router's connections: what is written is joined, and a request whose caller has gone is given up.

Serve watches each request, for its caller to go and for a time-out of its own: with a task that reads, one that
answers, and a queue and a timer between them. It leaves that to an application that says so, in two headers. That a
caller has gone is what a connection knows anyway. And the time-out must not be: Serve takes a caller's
`x-request-timeout-seconds` for it, which here is the deadline of a stream's first content, and cuts the stream there
without a word.
"""

import asyncio
from typing import Any, cast
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from deployments.http.arrival import ARRIVED, REQUEST_ID_HEADER, SENT
from deployments.http.writes import JoinedWrites
from deployments.ray_serve.ingress import LEFT_TO_THE_ROUTER, serve_http_with

_REQUEST_ID = REQUEST_ID_HEADER.encode()


class RouterProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol of choice, with the above."""

    app: ASGIApp

    def __init__(self, *args: Any, **options: Any) -> None:
        """Answer with the application of uvicorn's configuration."""
        super().__init__(*args, **options)
        self._application, self.app = self.app, self._answer
        self._answering: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Speak HTTP on `transport`."""
        super().connection_made(JoinedWrites(cast("asyncio.Transport", transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        super().connection_lost(exc)
        if self._answering is not None and not self.cycle.response_complete:
            self._answering.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.cycle.disconnected:  # before it began
            return
        sent = scope["headers"]
        if _REQUEST_ID not in dict(sent):  # Serve makes a longer one, and repeats either
            sent.append((_REQUEST_ID, uuid4().hex.encode()))
        scope[SENT], scope["headers"] = sent, sent + LEFT_TO_THE_ROUTER
        scope[ARRIVED] = not self.cycle.more_body
        self._answering = asyncio.current_task(self.loop)
        try:
            await self._application(scope, receive, send)
        finally:
            self._answering = None


def use_protocol() -> None:
    """Have the servers that are started from now on in this process, by whomever, use `RouterProtocol`."""
    serve_http_with(f"{__name__}:{RouterProtocol.__name__}")
