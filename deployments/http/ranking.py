"""Models that score pairs of texts: `POST /v1/rerank` (also `/rerank`, `/v2/rerank`) and `POST /v1/score` (`/score`).

The bodies are those of vLLM, which are Jina's and Cohere's for reranking. Scores of another model are no answer: where
no model of the space has any, the answer is an error, as for vectors.
"""

import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.routing import Route

from deployments.http.completions import theirs
from deployments.http.service import Service
from deployments.http.vectors import VectorFormat, VectorRows, told_of, vector_route
from deployments.policy.answer import Answer
from deployments.request import InferenceRequest
from deployments.request.ranking import RerankRequest, rerank_request, score_request

_META: Mapping[str, Any] = {"meta": {"api_version": {"version": "2"}}}
"""What Cohere's format has beside the results: without it the AI SDK takes no answer of Cohere's for one."""

_NOTHING: Mapping[str, Any] = {}
_OWN = frozenset({"id", "object", "created", "results", "data", "model", "usage", "neverblank", "error", "dimensions"})


def ranking_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints."""
    rerank = VectorFormat(rerank_request, lambda asked: asked.request, _ranked)
    score = VectorFormat(score_request, lambda asked: asked, _scored)
    return [
        *(vector_route(service, path, rerank) for path in ("/v1/rerank", "/rerank", "/v2/rerank")),
        *(vector_route(service, path, score) for path in ("/v1/score", "/score")),
    ]


def _ranked(scores: VectorRows, answer: Answer, asked: RerankRequest, request_id: str) -> bytes:
    """Write the best documents, best first; of the same score the first comes first."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place][0])[: asked.top_n]
    results = [
        {
            "index": place,
            **({"document": {"text": asked.documents[place]}} if asked.returns else {}),
            "relevance_score": scores[place][0],
        }
        for place in order
    ]
    return _body({"results": results}, answer, asked.request, request_id, _META)


def _scored(scores: VectorRows, answer: Answer, asked: InferenceRequest, request_id: str) -> bytes:
    data = [{"index": place, "object": "score", "score": score[0]} for place, score in enumerate(scores)]
    return _body({"object": "list", "data": data}, answer, asked, request_id)


def _body(
    told: Mapping[str, Any],
    answer: Answer,
    request: InferenceRequest,
    request_id: str,
    beneath: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """Write an answer; what is `beneath` gives way to what its model has told."""
    about = {"id": f"score-{request_id}", "created": int(time.time()), **told_of(answer, request, request_id)}
    return orjson.dumps({**beneath, **theirs(answer.extras.body, _OWN), **told, **about})
