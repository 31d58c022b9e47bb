"""OpenAI's embeddings: `POST /v1/embeddings`.

A vector that cannot be had is an error (503, `vector_unavailable`): no text and no other vector stands in its place.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.clock import loop_time
from deployments.execution.vectors import little_endian, vectors_in
from deployments.http.arrival import read_body, read_headers, read_request_id, skim_body
from deployments.http.completions import provenance, theirs
from deployments.http.endpoint import post
from deployments.http.problems import unavailable_body
from deployments.http.responses import UNAVAILABLE, are_many, headers_of, json_in_parts, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.outcome import Usage
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.embeddings import EmbeddingsRequest, embeddings_request
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.request.trace_headers import CALLERS_TRACE, read_trace

_OWN = frozenset({"object", "data", "model", "usage", "neverblank", "error"})


def embedding_routes(service: Service) -> list[Route]:
    """Return the route of the endpoint."""

    async def embeddings(request: Request) -> Response:
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
            asked = embeddings_request(body, service.limits, headers=headers)
            answer = await service.answer(asked.request, request_id, started)
            if answer.unavailable:
                return _none(answer)
            vectors = vectors_in(answer.result)
            if are_many(vectors):
                written = await asyncio.to_thread(_written, vectors, answer, asked, request_id)
            else:
                written = _written(vectors, answer, asked, request_id)
            return Response(written, 200, headers_of(answer), media_type="application/json")
        except InvalidRequestError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours: there is no vector, and no page about it either
            log.internal_error("http", request.url.path, error)
            return _none(no_vector_instead(service.last_resort(refusal=True)))

    return [post("/v1/embeddings", embeddings)]


def _none(answer: Answer) -> Response:
    return json_response(unavailable_body(answer), UNAVAILABLE, headers_of(answer))


def _written(vectors: Sequence[Sequence[float]], answer: Answer, asked: EmbeddingsRequest, request_id: str) -> bytes:
    """Write the body of a response."""
    usage, estimated = _usage(answer, asked.request)
    data = (
        {"object": "embedding", "index": place, "embedding": _in_base64(vector) if asked.base64 else vector}
        for place, vector in enumerate(vectors)
    )
    told = provenance(answer, request_id, usage_estimated=estimated)
    body = {"object": "list", "data": data, "model": answer.model, "usage": usage, "neverblank": told}
    return json_in_parts({**theirs(answer.extras.body, _OWN), **body}, "data")


def _in_base64(vector: Sequence[float]) -> str:
    return b64encode(little_endian(vector)).decode()


def _usage(answer: Answer, request: InferenceRequest) -> tuple[dict[str, Any], bool]:
    """Return the token counts, and whether they are estimated."""
    usage = answer.usage or Usage(estimate_prompt_tokens(request), 0)
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}, answer.usage is None
