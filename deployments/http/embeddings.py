"""OpenAI's embeddings: `POST /v1/embeddings`."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.vectors import little_endian, vectors_in
from deployments.http.completions import provenance, theirs
from deployments.http.endpoint import post
from deployments.http.numbers import answer_in_numbers
from deployments.http.responses import are_many, headers_of, json_in_parts
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.outcome import Usage
from deployments.request import InferenceRequest
from deployments.request.embeddings import EmbeddingsRequest, embeddings_request
from deployments.request.prompt_estimate import estimate_prompt_tokens

_OWN = frozenset({"object", "data", "model", "usage", "neverblank", "error"})


def embedding_routes(service: Service) -> list[Route]:
    """Return the route of the endpoint."""

    async def embeddings(request: Request) -> Response:
        return await answer_in_numbers(service, request, embeddings_request, lambda asked: asked.request, _respond)

    return [post("/v1/embeddings", embeddings)]


async def _respond(answer: Answer, asked: EmbeddingsRequest, request_id: str) -> Response:
    vectors = vectors_in(answer.result)
    if are_many(vectors):
        written = await asyncio.to_thread(_written, vectors, answer, asked, request_id)
    else:
        written = _written(vectors, answer, asked, request_id)
    return Response(written, 200, headers_of(answer), media_type="application/json")


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
