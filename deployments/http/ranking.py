"""Models that score pairs of texts: `POST /v1/rerank` (also `/rerank`, `/v2/rerank`) and `POST /v1/score` (`/score`).

The bodies are those of vLLM, which are Jina's and Cohere's for reranking. Scores of another model are no answer: where
no model of the space has any, the answer is an error (503, `vector_unavailable`), as for vectors.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.clock import loop_time
from deployments.execution.vectors import vectors_in
from deployments.http.arrival import read_body, read_headers, read_request_id, skim_body
from deployments.http.completions import provenance, theirs
from deployments.http.problems import unavailable_body
from deployments.http.responses import UNAVAILABLE, headers_of, json_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.outcome import Usage
from deployments.policy.problem import InvalidRequestError
from deployments.policy.token_estimate import estimate_tokens
from deployments.request import InferenceRequest
from deployments.request.ranking import RerankRequest, pairs_in, rerank_request, score_request

_OWN = frozenset({"id", "object", "created", "results", "data", "model", "usage", "neverblank", "error", "dimensions"})
_Asked = TypeVar("_Asked", RerankRequest, InferenceRequest)


def ranking_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints."""

    async def rerank(request: Request) -> Response:
        return await _answer(service, request, rerank_request, lambda asked: asked.request, _ranked)

    async def score(request: Request) -> Response:
        return await _answer(service, request, score_request, lambda asked: asked, _scored)

    return [
        *(Route(path, rerank, methods=["POST"]) for path in ("/v1/rerank", "/rerank", "/v2/rerank")),
        *(Route(path, score, methods=["POST"]) for path in ("/v1/score", "/score")),
    ]


async def _answer(
    service: Service,
    request: Request,
    read: Callable[..., _Asked],
    request_of: Callable[[_Asked], InferenceRequest],
    written: Callable[[Sequence[float], _Asked], Mapping[str, Any]],
) -> Response:
    started = loop_time()
    headers = read_headers(request.scope)
    request_id = read_request_id(headers)
    if service.overloaded():
        await skim_body(request, service.limits, headers)
        return _none(no_vector_instead(service.turn_away()))
    with service.arrival():
        body = await read_body(request, service.limits, headers)
    try:
        asked = read(body, service.limits, headers=headers)
        answer = await service.answer(request_of(asked), request_id, started)
        if answer.unavailable:
            return _none(answer)
        scores = [vector[0] for vector in vectors_in(answer.result)]
        about = _about(answer, request_of(asked), request_id)
        told = {**theirs(answer.extras.body, _OWN), **written(scores, asked), **about}
        return json_response(told, 200, headers_of(answer))
    except InvalidRequestError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours: there is no score, and no page about it either
        log.internal_error("http", request.url.path, error)
        return _none(no_vector_instead(service.last_resort(refusal=True)))


def _none(answer: Answer) -> Response:
    return json_response(unavailable_body(answer), UNAVAILABLE, headers_of(answer))


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
