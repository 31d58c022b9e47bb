"""The ASGI application of one router: the native API, OpenAI's, and the pages that describe them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http import native, openai, pages
from deployments.http.arrival import read_headers, read_request_id
from deployments.http.problems import NOT_FOUND, problem_response
from deployments.http.service import Service
from deployments.policy.problem import InvalidRequestError, Problem

_METHOD_NOT_ALLOWED = 405


def build_asgi(service: Service) -> Starlette:
    """Return the application that serves `service`, and runs the background tasks of `service` meanwhile."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(service.run())
        yield
        task.cancel()

    routes: list[BaseRoute] = [*native.native_routes(service), *openai.openai_routes(service), *pages.page_routes()]
    return _Application(routes=routes, lifespan=lifespan)


class _Application(Starlette):
    """Starlette with one layer that handles all errors.

    By itself, Starlette wraps two layers around the application and two around each endpoint.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return Starlette's router, with 4xx errors turned into responses; the server answers others with 500."""
        router = self.router
        # Nearly every path is that of a route, as it stands: the router would try the routes in order.
        by_path: dict[str, ASGIApp] = {route.path: route for route in self.routes if isinstance(route, Route)}

        async def explaining(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await by_path.get(scope.get("path", ""), router)(scope, receive, send)
            except InvalidRequestError as error:
                await _explain(error.problem, scope)(scope, receive, send)
            except HTTPException as error:
                await _explain(_http_problem(error), scope)(scope, receive, send)

        return explaining


def _explain(problem: Problem, scope: Scope) -> Response:
    return problem_response(problem, read_request_id(read_headers(scope)), scope["path"])


def _http_problem(error: HTTPException) -> Problem:
    """Turn a refusal of Starlette's router into a problem."""
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        return Problem("method", "is not allowed here", allowed, _METHOD_NOT_ALLOWED, {"allow": allowed})
    if error.status_code == NOT_FOUND:
        return Problem("path", "does not exist", "those in GET /openapi.json", NOT_FOUND)
    return Problem("request", error.detail, "see GET /docs", error.status_code)
