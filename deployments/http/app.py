"""The ASGI application of one router: the native API, OpenAI's, and the pages that describe them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from deployments.http import native, openai, pages
from deployments.http.arrival import read_request_id
from deployments.http.problems import NOT_FOUND, problem_response
from deployments.http.service import Service
from deployments.policy.problem import InvalidRequestError, Problem

_METHOD_NOT_ALLOWED = 405


def build_asgi(service: Service) -> Starlette:
    """The application that serves `service`, which runs for as long as the application does."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(service.run())
        yield
        task.cancel()

    routes: list[BaseRoute] = [*native.routes(service), *openai.routes(service), *pages.routes()]
    return Starlette(
        routes=sorted(routes, key=_is_rare),
        exception_handlers={HTTPException: _http_error, InvalidRequestError: _invalid_request},
        lifespan=lifespan,
    )


def _is_rare(route: BaseRoute) -> bool:
    """Off the request path: Starlette tries one route after the other, and these come last."""
    return not (isinstance(route, Route) and "POST" in (route.methods or ()))


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequestError)  # noqa: S101 - registered for nothing else
    return problem_response(error.problem, read_request_id(request), request.url.path)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        problem = Problem("method", "is not allowed here", allowed, _METHOD_NOT_ALLOWED, {"allow": allowed})
    elif error.status_code == NOT_FOUND:
        problem = Problem("path", "does not exist", "those in GET /openapi.json", NOT_FOUND)
    else:
        problem = Problem("request", error.detail, "see GET /docs", error.status_code)
    return problem_response(problem, read_request_id(request), request.url.path)
