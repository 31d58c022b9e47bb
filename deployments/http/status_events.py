"""GET /status/events: the status and the last fallbacks of all routers, once a second, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.execution.clock import loop_time
from deployments.http.alive import COMMENT
from deployments.http.responses import EVENT_STREAM, UNBUFFERED, event
from deployments.http.service import Service
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.problem import InvalidRequestError, Problem

MOST_WATCHERS = 16
"""Callers who watch one router at a time."""

WATCHED_S = 600.0
"""Seconds after which a stream of events ends; whoever watches asks again."""

EVERY_S = 1.0
_FALLBACKS = 20


class StatusEvents:
    """The watchers of one router."""

    def __init__(self, service: Service) -> None:
        """Tell of `service`."""
        self._service = service
        self._watchers = 0

    async def respond(self, _: Request) -> ASGIApp:
        """Return what tells one caller."""
        return self._watch

    async def tell(self) -> AsyncGenerator[bytes, None]:
        """Give the events, until `WATCHED_S` have passed."""
        ends = loop_time() + WATCHED_S
        while loop_time() < ends:
            try:
                status = await self._service.status_of_all()
                fallbacks = await self._service.fallbacks_of_all(FallbackQuery(limit=_FALLBACKS))
            except InvalidRequestError:  # too many ask at this moment: the next second may tell
                yield COMMENT
            else:
                yield event({"status": status, "fallbacks": fallbacks})
            await asyncio.sleep(EVERY_S)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell one caller, unless too many are told already.

        Raises:
            InvalidRequestError: they are, and nothing has been sent.
        """
        if self._watchers >= MOST_WATCHERS:
            message = f"are told to {MOST_WATCHERS} callers already"
            raise InvalidRequestError(Problem("events", message, "a later time", HTTPStatus.TOO_MANY_REQUESTS))
        self._watchers += 1
        try:
            await StreamingResponse(self.tell(), headers=UNBUFFERED, media_type=EVENT_STREAM)(scope, receive, send)
        finally:
            self._watchers -= 1
