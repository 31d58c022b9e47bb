"""Answers in vectors, whatever their format: embeddings, and scores, each of which is a vector of one number.

A vector that cannot be had is an error (503, `vector_unavailable`): no text and no other vector stands in its place.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.clock import loop_time
from deployments.execution.vectors import vectors_in
from deployments.http.arrival import read_body, read_headers, read_request_id, skim_body
from deployments.http.completions import provenance
from deployments.http.endpoint import post
from deployments.http.problems import unavailable_body
from deployments.http.responses import UNAVAILABLE, are_many, headers_of, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.outcome import Usage
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.request.trace_headers import CALLERS_TRACE, read_trace

_Asked = TypeVar("_Asked")

VectorRows = Sequence[Sequence[float]]


class VectorFormat(Struct, Generic[_Asked], frozen=True):
    """How vectors are asked for, and told.

    Attributes:
        read: reads a body; takes it, the limits, and `headers`.
        request_of: returns the request in what was read.
        written: returns the body of an answer, whose model has given the vectors; takes the id of the request, too.
    """

    read: Callable[..., _Asked]
    request_of: Callable[[_Asked], InferenceRequest]
    written: Callable[[VectorRows, Answer, _Asked, str], bytes]


def vector_route(service: Service, path: str, spoken: VectorFormat[Any]) -> Route:
    """Return the route that answers POST requests to `path` in a format."""

    async def answer(request: Request) -> Response:
        return await _answer(service, request, spoken)

    return post(path, answer)


def told_of(answer: Answer, request: InferenceRequest, request_id: str) -> dict[str, Any]:
    """Return what every answer tells beside its vectors: the model, the token counts, the provenance."""
    usage = answer.usage or Usage(estimate_prompt_tokens(request), 0)
    return {
        "model": answer.model,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
        "neverblank": provenance(answer, request_id, usage_estimated=answer.usage is None),
    }


async def _answer(service: Service, request: Request, spoken: VectorFormat[Any]) -> Response:
    started = loop_time()
    headers = read_headers(request.scope)
    request_id = read_request_id(headers)
    CALLERS_TRACE.set(read_trace(headers))
    if service.overloaded():
        await skim_body(request, service.limits, headers)
        return _none(no_vector_instead(service.turn_away()))
    with service.arrival():
        body = await read_body(request, service.limits, headers)
    try:
        asked = spoken.read(body, service.limits, headers=headers)
        answer = await service.answer(spoken.request_of(asked), request_id, started)
        if answer.unavailable:
            return _none(answer)
        vectors = vectors_in(answer.result)
        if are_many(vectors):
            written = await asyncio.to_thread(spoken.written, vectors, answer, asked, request_id)
        else:
            written = spoken.written(vectors, answer, asked, request_id)
        return Response(written, 200, headers_of(answer), media_type="application/json")
    except InvalidRequestError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours: there is no vector, and no page about it either
        log.internal_error("http", request.url.path, error)
        return _none(no_vector_instead(service.last_resort(refusal=True)))


def _none(answer: Answer) -> Response:
    return json_response(unavailable_body(answer), UNAVAILABLE, headers_of(answer))
