"""Streams of server-sent events that are alive on the wire, from the moment their request was read to their last event.

    first content in time           the true head, then events; a sign of life in each long silence
    none for `keepalive_s`          a head that says `pending`, then signs of life; the last event tells the truth
    an invalid request, before      4xx, as ever
    an invalid request, after       an event with the error object, as the head cannot be taken back
    an error of our own             the last resort: a stream of its own, or the end of the one that has begun

A sign of life is a comment, or an event that has no other meaning in its format. Nothing is held up: it is sent only
where nothing else has been for `keepalive_s`, and never into a connection whose reader does not read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from deployments.execution.clock import SHORTEST_TIMER_S
from deployments.execution.streams import CompletedStream
from deployments.http.responses import headers_of, pending_headers, status_of, stream_headers
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.stream_events import AnswerStream

PARAGRAPH = "\n\n"
"""Stands between a part of an answer and the last resort."""

COMMENT = b": keep-alive\n\n"
"""A comment, the sign of life of most formats: readers of server-sent events skip it (WHATWG HTML, section 9.2.6)."""


class Writer(Protocol):
    """Writes a stream in one format.

    `events` may be called again for the last resort, where an error of our own has ended the first stream: what has
    been begun by then is ended properly. Behind a part of an answer it is a paragraph of its own, and the end says that
    the answer was cut.
    """

    @property
    def sign_of_life(self) -> bytes:
        """What is sent in a long silence: something that whoever reads the format skips."""
        ...

    def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Give the events of `stream`, to its end."""
        ...

    def refused(self, problem: Problem) -> Iterator[bytes]:
        """Give the events of a request that turned out to be invalid after the head had been sent."""
        ...


class AliveStream:
    """An ASGI application: opens a stream, and sends it."""

    def __init__(
        self,
        opening: Callable[[], Awaitable[AnswerStream]],
        writer: Writer,
        service: Service,
        *,
        refusal: bool,
    ) -> None:
        """Get ready to send a stream.

        Args:
            opening: opens the stream; see `http.service.Service.stream`.
            writer: writes its events.
            service: says how long a silence may be, and has the last resort and its status; a last resort that comes
                after the head has the status of the head.
            refusal: the caller demands a form, which a last resort does not have.
        """
        self._opening = opening
        self._writer = writer
        self._service = service
        self._refusal = refusal

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            InvalidRequestError: the request is invalid, and nothing has been sent yet.
        """
        alive = _Alive(send, self._service.keepalive_s, self._writer.sign_of_life)
        try:
            await self._pass_on(await self._opening(), alive)
        except InvalidRequestError as error:
            if not alive.begun:
                raise
            await alive.end(b"".join(self._writer.refused(error.problem)))
        except Exception as error:
            if alive.gone:
                raise ClientDisconnect from error
            log.internal_error("http", scope["path"], error)
            if alive.ended:
                raise
            await self._pass_on(CompletedStream(self._service.last_resort(refusal=self._refusal)), alive)
        finally:
            alive.stop()

    async def _pass_on(self, stream: AnswerStream, alive: "_Alive") -> None:
        """Send `stream`, which is read no faster than the caller reads, and close it, whatever comes."""
        try:
            await alive.begin(status_of(stream.head, self._service), stream_headers(headers_of(stream.head)))
            async for events in self._writer.events(stream):
                await alive.send({"type": "http.response.body", "body": events, "more_body": True})
            await alive.end(b"")
        finally:
            await stream.aclose()


class _Alive:
    """Sends a stream, and gives a sign of life, behind a head if there is none yet, in each long silence.

    Attributes:
        begun: a head has been sent.
        ended: the last piece of the body has been sent.
        gone: the caller could not be reached any more.
    """

    def __init__(self, send: Send, keepalive_s: float, sign: bytes) -> None:
        self.begun = False
        self.ended = False
        self.gone = False
        self._sign = sign
        self._send = send
        self._seconds = keepalive_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._sending = False
        self._beat: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if keepalive_s > 0:
            self._timer = self._loop.call_at(self._last + keepalive_s, self._look)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head, unless one has been sent."""
        if self._beat is not None:
            await self._beat
        if not self.begun:
            self.begun = True
            await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def end(self, body: bytes) -> None:
        """Send the last piece of the body."""
        if self._beat is not None:
            await self._beat
        self.ended = True
        self.stop()
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def send(self, message: Message) -> None:
        """Pass `message` on."""
        if self._beat is not None:
            await self._beat
        self._sending = True
        try:
            await self._send(message)
        except OSError:
            self.gone = True
            raise
        finally:
            self._sending = False
            self._last = self._loop.time()

    def stop(self) -> None:
        """Give no more signs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._beat is not None:
            self._beat.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = self._last + self._seconds
        if self._sending or self._beat is not None:  # the reader does not read: more would only pile up
            due = now + self._seconds
        elif now >= due:
            self._beat = self._loop.create_task(self._give_sign())
            due = now + self._seconds
        self._timer = self._loop.call_at(max(due, now + SHORTEST_TIMER_S), self._look)

    async def _give_sign(self) -> None:
        try:
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": pending_headers()})
            await self._send({"type": "http.response.body", "body": self._sign, "more_body": True})
        except OSError:  # the caller has gone: whatever is sent next finds out, or the server cancels the request
            return
        finally:
            self._last = self._loop.time()
            self._beat = None
