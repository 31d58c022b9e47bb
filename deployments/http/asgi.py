"""The ASGI application of one router: the native API, OpenAI's, Anthropic's, and the pages that describe them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http import anthropic, embeddings, native, openai, openai_responses, operation, pages, ranking, tokens
from deployments.http.arrival import read_headers, read_request_id
from deployments.http.cors import Cors
from deployments.http.guard import let_through
from deployments.http.problems import NOT_FOUND, problem_response, server_error
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.http.sites import refuse_other_sites
from deployments.observability import log
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.reason import cut

_METHOD_NOT_ALLOWED = 405
_FAULT = 500
_STOPS_S = 5.0
"""Seconds for which the end of the background tasks is waited for when the server stops."""

_AS_IT_IS = (None, "POST")
"""The methods whose responses nobody watches: endpoints of POST answer for errors of ours themselves, on the hot path.

The start of the server, and its end, has none.
"""

_LONGEST_PATH = 200


def build_asgi(service: Service) -> Starlette:
    """Return the application that serves `service`, and runs the background tasks of `service` meanwhile."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(service.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_STOPS_S)

    routes: list[BaseRoute] = [
        *native.native_routes(service),  # first: the router tries them in order where a model is in the path
        *openai.openai_routes(service),
        *openai_responses.responses_routes(service),
        *anthropic.anthropic_routes(service),
        *embeddings.embedding_routes(service),
        *ranking.ranking_routes(service),
        *tokens.token_routes(service),
        *operation.operation_routes(service),
        *pages.page_routes(),
    ]
    return _Application(service, routes=routes, lifespan=lifespan)


class _Application(Starlette):
    """Starlette with one layer that handles all errors.

    By itself, Starlette wraps two layers around the application and two around each endpoint (see `endpoint`).
    """

    def __init__(self, service: Service, **options: Any) -> None:
        """Serve `service`; `options` are Starlette's."""
        super().__init__(**options)
        self._service = service

    def build_middleware_stack(self) -> ASGIApp:
        """Return Starlette's router, with errors turned into responses, those of ours as long as none has begun."""
        router = self.router
        # Nearly every path is that of a route, as it stands: the router would try the routes in order.
        plain = [route for route in self.routes if isinstance(route, Route) and not route.param_convertors]
        known = {(method, route.path): route.app for route in plain for method in route.methods or ()}

        async def explaining(scope: Scope, receive: Receive, send: Send) -> None:
            app, gate = known.get((scope.get("method", ""), scope.get("path", "")), router), self._service.gate
            begun = send if scope.get("method") in _AS_IT_IS else _Noted(send)
            try:
                if gate.is_locked and scope["type"] == "http":  # the others are the server's start, and web sockets
                    await let_through(app, gate, scope, receive, begun)
                else:
                    if scope["type"] == "http":
                        refuse_other_sites(scope, self._service.cors_origins, is_private=gate.is_private)
                    await app(scope, receive, begun)
            except InvalidRequestError as error:
                await _explain(error.problem, scope)(scope, receive, send)
            except HTTPException as error:
                await _refuse(error, scope)(scope, receive, send)
            except Exception as error:
                if not isinstance(begun, _Noted) or begun.has_begun:
                    raise
                log.internal_error("http", scope["path"], error)
                await json_response(_BROKE, _FAULT)(scope, receive, send)

        return Cors(explaining, self._service)


class _Noted:
    """Sends a response, and notes whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


_BROKE = server_error("The service has made a mistake, and cannot tell this now.", "internal_error")


def _explain(problem: Problem, scope: Scope) -> Response:
    return problem_response(problem, read_request_id(read_headers(scope)), scope["path"])


def _refuse(error: HTTPException, scope: Scope) -> Response:
    """Return the response to what Starlette's router has refused; whoever asks for the methods (OPTIONS) gets them."""
    method, path = scope["method"], cut("".join(filter(str.isprintable, scope["path"])), _LONGEST_PATH)
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = f"{(error.headers or {}).get('Allow', '')}, OPTIONS"
        if method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allowed})
        problem = Problem(
            "method", f"{method} is not allowed at {path}", allowed, _METHOD_NOT_ALLOWED, {"allow": allowed},
            code="method_not_supported",
        )  # fmt: skip
    elif error.status_code == NOT_FOUND:
        told = f"{path} does not exist ({method})"
        problem = Problem("path", told, "those in GET /openapi.json", NOT_FOUND, code="unknown_url")
    else:
        problem = Problem("request", error.detail, "see GET /docs", error.status_code)
    kept = {name: value for name, value in (error.headers or {}).items() if name.lower() != "allow"}
    return _explain(replace(problem, headers={**kept, **problem.headers}), scope)
