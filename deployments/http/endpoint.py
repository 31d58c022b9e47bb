"""Routes to functions that answer a request with an ASGI application.

Starlette makes routes of functions, too, and wraps two layers around each for handlers of exceptions, of which there
are none here: `asgi` handles all errors.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An ASGI application."""

    answer: Callable[[Request], Awaitable[ASGIApp]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = await self.answer(Request(scope, receive, send))
        await app(scope, receive, send)


def post(path: str, answer: Callable[[Request], Awaitable[ASGIApp]]) -> Route:
    """Return the route that has each POST request to `path` answered by what `answer` returns for it."""
    return Route(path, _Endpoint(answer), methods=["POST"])
