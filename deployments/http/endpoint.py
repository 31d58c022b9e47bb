"""Endpoints as ASGI applications, which Starlette routes to as they are.

For a plain function it makes one itself, two layers of which wrap `send` and look for handlers of exceptions. There are
two kinds of those here, and `app` handles them in one place.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class Endpoint:
    """Answers requests with what a function makes of each."""

    def __init__(self, respond: Callable[[Request], Awaitable[Response]]) -> None:
        """Answer with `respond`."""
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._respond(Request(scope, receive, send))
        await response(scope, receive, send)


def get(path: str, respond: Callable[[Request], Awaitable[Response]]) -> Route:
    """The route of something that can be looked at."""
    return Route(path, Endpoint(respond), methods=["GET"])


def post(path: str, respond: Callable[[Request], Awaitable[Response]]) -> Route:
    """The route of something that is asked."""
    return Route(path, Endpoint(respond), methods=["POST"])
