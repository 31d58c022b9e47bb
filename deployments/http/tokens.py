"""What clients and tools of vLLM ask beside answers.

POST /tokenize, /detokenize    the tokens of a text or a chat, and the text of tokens, by a model's own tokenizer
GET  /health                   200 as long as the router answers
GET  /version                  the version of this service
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.http.arrival import read_body, read_headers, skim_body
from deployments.http.problems import unavailable_body
from deployments.http.responses import UNAVAILABLE, headers_of, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.no_tokens import no_tokens
from deployments.policy.problem import InvalidRequestError
from deployments.request.tokens import TokensRequest, detokenize_request, tokenize_request

_Read = Callable[..., TokensRequest]
"""Reads a body, within limits and with the headers beside it."""


def token_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def tokenize(request: Request) -> Response:
        answer = await _ask(service, request, tokenize_request)
        return _none(answer) if answer.unavailable else json_response(answer.result)

    async def detokenize(request: Request) -> Response:
        answer = await _ask(service, request, detokenize_request)
        return _none(answer) if answer.unavailable else json_response({"prompt": answer.result["prompt"]})

    async def health(_: Request) -> Response:
        return Response(status_code=200)

    async def about(_: Request) -> Response:
        return json_response({"version": service_version()})

    return [
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/detokenize", detokenize, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/version", about, methods=["GET"]),
    ]


def service_version() -> str:
    """Return the version of this service; `unknown` where it runs from files that were not installed."""
    try:
        return version("neverblank")
    except PackageNotFoundError:
        return "unknown"


async def _ask(service: Service, request: Request, read: _Read) -> Answer:
    """Return the answer of a tokenizer; one that is `unavailable` where there is none."""
    headers = read_headers(request.scope)
    if service.overloaded():
        await skim_body(request, service.limits, headers)
        return _instead(service.turn_away())
    with service.arrival():
        body = await read_body(request, service.limits, headers)
        try:
            asked = read(body, service.limits, headers=headers)
            async with service.gate.question(asked.request):
                return await service.tokenize(asked)
        except InvalidRequestError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours
            log.internal_error("http", request.url.path, error)
            return _instead(service.last_resort(refusal=True))


def _instead(answer: Answer) -> Answer:
    return no_tokens(str(answer.result), answer.retry_after_s)


def _none(answer: Answer) -> Response:
    return json_response(unavailable_body(answer), UNAVAILABLE, headers_of(answer))
