"""Models that score pairs of texts: `POST /v1/rerank` (also `/rerank`, `/v2/rerank`) and `POST /v1/score` (`/score`).

The bodies are those of vLLM, which are Jina's and Cohere's for reranking. Scores of another model are no answer, as of
vectors: see `numbers`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.vectors import vectors_in
from deployments.http.completions import provenance, theirs
from deployments.http.endpoint import post
from deployments.http.numbers import answer_in_numbers
from deployments.http.responses import headers_of, json_response
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.outcome import Usage
from deployments.policy.token_estimate import estimate_tokens
from deployments.request import InferenceRequest
from deployments.request.ranking import RerankRequest, pairs_in, rerank_request, score_request

_OWN = frozenset({"id", "object", "created", "results", "data", "model", "usage", "neverblank", "error", "dimensions"})
_Asked = TypeVar("_Asked", RerankRequest, InferenceRequest)


def ranking_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints."""

    async def rerank(request: Request) -> Response:
        return await answer_in_numbers(
            service, request, rerank_request, lambda asked: asked.request, partial(_respond, _ranked)
        )

    async def score(request: Request) -> Response:
        return await answer_in_numbers(service, request, score_request, lambda asked: asked, partial(_respond, _scored))

    return [
        *(post(path, rerank) for path in ("/v1/rerank", "/rerank", "/v2/rerank")),
        *(post(path, score) for path in ("/v1/score", "/score")),
    ]


async def _respond(
    written: Callable[[Sequence[float], _Asked], Mapping[str, Any]], answer: Answer, asked: _Asked, request_id: str
) -> Response:
    scores = [vector[0] for vector in vectors_in(answer.result)]
    request = asked.request if isinstance(asked, RerankRequest) else asked
    told = {**theirs(answer.extras.body, _OWN), **written(scores, asked), **_about(answer, request, request_id)}
    return json_response(told, 200, headers_of(answer))


def _ranked(scores: Sequence[float], asked: RerankRequest) -> Mapping[str, Any]:
    """Return the best documents, best first; of the same score the first comes first."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[: asked.top_n]
    results = [
        {
            "index": place,
            **({"document": {"text": asked.documents[place]}} if asked.returns else {}),
            "relevance_score": scores[place],
        }
        for place in order
    ]
    return {"results": results}


def _scored(scores: Sequence[float], _: InferenceRequest) -> Mapping[str, Any]:
    data = [{"index": place, "object": "score", "score": score} for place, score in enumerate(scores)]
    return {"object": "list", "data": data}


def _about(answer: Answer, request: InferenceRequest, request_id: str) -> dict[str, Any]:
    read = sum(estimate_tokens(text) for pair in pairs_in(request.inputs) for text in pair) if not answer.usage else 0
    usage = answer.usage or Usage(read, 0)
    return {
        "id": f"score-{request_id}",
        "created": int(time.time()),
        "model": answer.model,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
        "neverblank": provenance(answer, request_id, usage_estimated=answer.usage is None),
    }
