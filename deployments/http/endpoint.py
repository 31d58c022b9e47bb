"""Endpoints as ASGI applications, which Starlette calls as they are.

Around a plain function Starlette puts two layers that wrap `send` and look up exception handlers. They are not needed:
the application in `asgi` handles all exceptions in one place.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Endpoint:
    """An ASGI application that answers each request with the response that a function returns."""

    def __init__(self, respond: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        """Answer with `respond`."""
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._respond(Request(scope, receive, send))
        await response(scope, receive, send)


def get(path: str, respond: Callable[[Request], Awaitable[ASGIApp]]) -> Route:
    """Return a GET route."""
    return Route(path, Endpoint(respond), methods=["GET"])


def post(path: str, respond: Callable[[Request], Awaitable[ASGIApp]]) -> Route:
    """Return a POST route."""
    return Route(path, Endpoint(respond), methods=["POST"])
