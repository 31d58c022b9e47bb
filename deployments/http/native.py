"""The native API.

POST /v1/infer, /v1/infer/{model}    an answer
GET  /v1/models                      what can be asked for
GET  /healthz                        this process is alive
GET  /readyz                         which tiers are ready; 200 as soon as a model can answer
GET  /status                         models, replicas, breakers, counts
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.body import Limits, check_size
from deployments.http.problems import REQUEST_ID_HEADER, json_response, problem_response
from deployments.policy.answer import Answer, Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import TIMEOUT_HEADER, InferenceRequest

_DRAIN_BYTES = 64 << 20
_DRAIN_S = 5.0


class Service(Protocol):
    """What the HTTP surface needs of the router."""

    @property
    def limits(self) -> Limits:
        """The bounds requests are held to."""
        ...

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        ...

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer; `started` is when the request arrived, on the event loop's clock."""
        ...

    def describe_models(self) -> dict[str, Any]:
        """The body of `/v1/models`."""
        ...

    def readiness(self) -> dict[str, bool]:
        """Which tiers are ready."""
        ...

    def describe(self) -> dict[str, Any]:
        """The body of `/status`."""
        ...

    async def run(self) -> None:
        """Whatever has to go on while the service is up."""
        ...


def build_asgi(service: Service) -> Starlette:
    """The ASGI application of one router."""

    async def infer(request: Request) -> Response:
        started = asyncio.get_running_loop().time()
        request_id = read_request_id(request)
        parsed = InferenceRequest.from_body(
            await _read_body(request, service.limits),
            service.limits,
            model=request.path_params.get("model", ""),
            timeout_header=request.headers.get(TIMEOUT_HEADER, ""),
        )
        answer = await service.answer(parsed, request_id, started)
        status = service.last_resort_status if answer.served_by is Tier.LAST_RESORT else 200
        return json_response(answer.to_json(request_id), status, _headers(answer))

    async def models(_: Request) -> Response:
        return json_response(service.describe_models())

    async def healthz(_: Request) -> Response:
        return json_response({"status": "alive"})

    async def readyz(_: Request) -> Response:
        tiers = service.readiness()
        ready = tiers[Tier.PRIMARY.value] or tiers[Tier.BACKUP.value]
        return json_response({"ready": ready, "tiers": tiers}, 200 if ready else 503)

    async def status(_: Request) -> Response:
        return json_response(service.describe())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(service.run())
        yield
        task.cancel()

    return Starlette(
        routes=[
            Route("/v1/infer", infer, methods=["POST"]),
            Route("/v1/infer/{model}", infer, methods=["POST"]),
            Route("/v1/models", models),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/status", status),
        ],
        exception_handlers={HTTPException: _http_error, InvalidRequestError: _invalid_request},
        lifespan=lifespan,
    )


def read_request_id(request: Request) -> str:
    """The id in `x-request-id`: Serve puts one there where the caller has not, and repeats it in the response."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given or uuid4().hex


async def _read_body(request: Request, limits: Limits) -> bytes:
    """The body, of which no more than the limit is ever held.

    Raises:
        InvalidRequestError: it is too large (413), or did not arrive in time (408).
    """
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for chunk in chunks:
                body += chunk
                check_size(len(body), limits)
    except TimeoutError as error:
        problem = Problem("body", "did not arrive in time", f"a whole body within {limits.timeout_s:g} s", status=408)
        raise InvalidRequestError(problem) from error
    except InvalidRequestError:
        await _drain(chunks, len(body))
        raise
    return bytes(body)


async def _drain(chunks: AsyncIterator[bytes], size: int) -> None:
    """Read on and forget, within bounds: most clients read no answer before they have sent everything."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in chunks:
                size += len(chunk)
                if size > _DRAIN_BYTES:
                    return
    except TimeoutError:
        return


def _headers(answer: Answer) -> dict[str, str]:
    trace = ", ".join(
        f"{ended.candidate.tier.value}/{quote(ended.candidate.model)}={ended.outcome.name}" for ended in answer.attempts
    )
    return {
        "x-neverblank-served-by": answer.served_by.value,
        "x-neverblank-degraded": "true" if answer.degraded else "false",
        "x-neverblank-attempts": trace,
    }


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequestError)  # noqa: S101 - registered for nothing else
    return problem_response(error.problem, read_request_id(request))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    paths = "POST /v1/infer, POST /v1/infer/{model}, GET /v1/models, /healthz, /readyz, /status"
    if error.status_code == 405:  # noqa: PLR2004 - method not allowed
        allowed = (error.headers or {}).get("Allow", "")
        problem = Problem("method", "is not allowed here", allowed, 405, {"allow": allowed})
    elif error.status_code == 404:  # noqa: PLR2004 - not found
        problem = Problem("path", "does not exist", paths, 404)
    else:
        problem = Problem("request", error.detail, paths, error.status_code)
    return problem_response(problem, read_request_id(request))
