"""GET /status/events: the status and the last fallbacks of all routers, once a second, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from deployments.http.responses import EVENT_STREAM, event
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

    async def respond(self, _: Request) -> Response:
        """Begin to tell, unless too many listen already."""
        if self._watchers >= MOST_WATCHERS:
            message = f"are told to {MOST_WATCHERS} callers already"
            raise InvalidRequestError(Problem("events", message, "a later time", HTTPStatus.SERVICE_UNAVAILABLE))
        return StreamingResponse(self.tell(), media_type=EVENT_STREAM, headers={"cache-control": "no-cache"})

    async def tell(self) -> AsyncGenerator[bytes, None]:
        """Give the events, until `WATCHED_S` have passed."""
        self._watchers += 1
        try:
            async with asyncio.timeout(WATCHED_S):
                while True:
                    status = await self._service.status_of_all()
                    fallbacks = await self._service.fallbacks_of_all(FallbackQuery(limit=_FALLBACKS))
                    yield event({"status": status, "fallbacks": fallbacks})
                    await asyncio.sleep(EVERY_S)
        except TimeoutError:
            return
        finally:
            self._watchers -= 1
