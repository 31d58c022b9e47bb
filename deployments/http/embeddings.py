"""OpenAI's embeddings: `POST /v1/embeddings`."""

from base64 import b64encode
from collections.abc import Sequence

from starlette.routing import Route

from deployments.execution.vectors import little_endian
from deployments.http.completions import theirs
from deployments.http.responses import json_in_parts
from deployments.http.service import Service
from deployments.http.vectors import VectorFormat, VectorRows, told_of, vector_route
from deployments.policy.answer import Answer
from deployments.request.embeddings import EmbeddingsRequest, embeddings_request

_OWN = frozenset({"object", "data", "model", "usage", "neverblank", "error"})


def embedding_routes(service: Service) -> list[Route]:
    """Return the route of the endpoint."""
    spoken = VectorFormat(embeddings_request, lambda asked: asked.request, _written)
    return [vector_route(service, "/v1/embeddings", spoken)]


def _written(vectors: VectorRows, answer: Answer, asked: EmbeddingsRequest, request_id: str) -> bytes:
    """Write the body of a response."""
    data = (
        {"object": "embedding", "index": place, "embedding": _in_base64(vector) if asked.base64 else vector}
        for place, vector in enumerate(vectors)
    )
    body = {"object": "list", "data": data, **told_of(answer, asked.request, request_id)}
    return json_in_parts({**theirs(answer.extras.body, _OWN), **body}, "data")


def _in_base64(vector: Sequence[float]) -> str:
    return b64encode(little_endian(vector)).decode()
