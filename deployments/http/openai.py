"""OpenAI's API: any client of it works with a changed `base_url`.

POST /v1/chat/completions, /v1/completions    answers, whole or in chunks
GET  /v1/models, /v1/models/{id}              the models; to Anthropic's clients in their form

Beside OpenAI's own fields, a completion and the chunk with the finish reason carry `neverblank`: the tier that
answered, and the trace. `model` names the model that really answered; it is `last_resort` where none did.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.execution.streams import CompletedStream
from deployments.http.alive import AliveStream
from deployments.http.arrival import Glimpse, read_headers, read_request_id
from deployments.http.chunk_writer import ChunkWriter
from deployments.http.completions import CHAT, COMPLETION, Format
from deployments.http.endpoint import post
from deployments.http.family import opened, serve
from deployments.http.model_list import anthropic_model, anthropic_models, is_anthropics
from deployments.http.problems import NOT_FOUND, anthropic_body, problem_response, unavailable_body
from deployments.http.responses import UNAVAILABLE, headers_of, json_response, status_of
from deployments.http.service import Service
from deployments.http.together import open_all
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.inference import FORM_DEMANDED
from deployments.request.openai import OpenAIRequest, chat_request, completion_request


def openai_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def models(request: Request) -> Response:
        listed = service.describe_models()
        return json_response(anthropic_models(listed) if is_anthropics(read_headers(request.scope)) else listed)

    async def model(request: Request) -> Response:
        name, headers = request.path_params["model"].rstrip("/"), read_headers(request.scope)
        if not name:
            return await models(request)
        for facts in service.describe_models()["data"]:
            if facts["id"] == name:
                return json_response(anthropic_model(facts) if is_anthropics(headers) else facts)
        problem = Problem("model", "does not exist", "one of those in GET /v1/models", NOT_FOUND)
        request_id = read_request_id(headers)
        if is_anthropics(headers):
            return json_response(anthropic_body(problem, request_id), NOT_FOUND)
        return problem_response(problem, request_id, request.url.path, "model_not_found")

    return [
        post("/v1/chat/completions", partial(serve, service, _OpenAI(service, CHAT))),
        post("/v1/completions", partial(serve, service, _OpenAI(service, COMPLETION))),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", model, methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True)
class _OpenAI:
    """One of OpenAI's two formats, as a family."""

    service: Service
    form: Format
    form_demanded = FORM_DEMANDED

    async def respond(self, body: bytes, headers: Mapping[str, str], request_id: str, started: float) -> ASGIApp:
        service, form = self.service, self.form
        read = chat_request if form is CHAT else completion_request
        parsed = read(body, service.limits, headers=headers)
        if not parsed.stream:
            if len(parsed.requests) == 1:  # the usual case, without a task of its own
                answers = [await service.answer(parsed.requests[0], request_id, started)]
            else:
                answers = await _answers(service, parsed.requests, request_id, started)
            whole = form.completion(answers, parsed.requests, request_id, echo=parsed.echo)
            return _respond(service, answers, whole)
        writer = ChunkWriter(form, parsed, request_id)
        asked = parsed.requests[0]
        openings = [
            partial(service.stream, each, _id(request_id, place), started) for place, each in enumerate(parsed.requests)
        ]
        opening = openings[0] if len(openings) == 1 else partial(open_all, openings)
        return AliveStream(opening, writer, service, refusal=asked.response_format.demands_form)

    async def respond_unread(self, answer: Answer, request_id: str, seen: Glimpse) -> ASGIApp:
        if not seen.stream:
            return _respond(self.service, [answer], self.form.completion([answer], (), request_id))
        writer = ChunkWriter(self.form, OpenAIRequest((), seen.usage), request_id)
        return AliveStream(partial(opened, CompletedStream(answer)), writer, self.service, refusal=seen.form)


async def _answers(
    service: Service, requests: Sequence[InferenceRequest], request_id: str, started: float
) -> list[Answer]:
    """Answer all requests at the same time."""
    try:
        async with asyncio.TaskGroup() as tasks:  # the first invalid request cancels the others
            asked = [
                tasks.create_task(service.answer(each, _id(request_id, place), started))
                for place, each in enumerate(requests)
            ]
    except* InvalidRequestError as refused:
        raise refused.exceptions[0] from None
    return [task.result() for task in asked]


def _id(request_id: str, place: int) -> str:
    return f"{request_id}-{place}" if place else request_id


def _respond(service: Service, answers: Sequence[Answer], body: Mapping[str, Any]) -> Response:
    worst = max(answers, key=_distance) if len(answers) > 1 else answers[0]  # of several, headers describe this one
    if worst.unavailable:
        return json_response(unavailable_body(worst), UNAVAILABLE, headers_of(worst))
    status = status_of(worst, service)
    return json_response(body, status, headers_of(worst))


def _distance(answer: Answer) -> int:
    """Return how many tiers an answer is away from the primary tier."""
    return list(Tier).index(answer.served_by)
