"""OpenAI's API: any client of it works with a changed `base_url`.

POST /v1/chat/completions, /v1/completions    answers, whole or in chunks
GET  /v1/models, /v1/models/{id}              the models

Beside OpenAI's own fields, a completion and the chunk with the finish reason carry `neverblank`: the tier that
answered, and the trace. `model` names the model that really answered; it is `last_resort` where none did.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.execution.clock import loop_time
from deployments.execution.streams import CompletedStream
from deployments.http.arrival import drain, read_body, read_headers, read_request_id
from deployments.http.completions import CHAT, COMPLETION, Chunks, Format
from deployments.http.problems import NOT_FOUND, problem_response
from deployments.http.responses import event, headers_of, json_response, stream_response
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.stream_events import AnswerStream, StreamDone, TextDelta
from deployments.request import InferenceRequest
from deployments.request.openai import chat_request, completion_request

_DONE = b"data: [DONE]\n\n"


def openai_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def chat(request: Request) -> Response:
        return await _serve(service, request, CHAT)

    async def completions(request: Request) -> Response:
        return await _serve(service, request, COMPLETION)

    async def models(_: Request) -> Response:
        return json_response(service.describe_models())

    async def model(request: Request) -> Response:
        name = request.path_params["model"]
        for facts in service.describe_models()["data"]:
            if facts["id"] == name:
                return json_response(facts)
        problem = Problem("model", "does not exist", "one of those in GET /v1/models", NOT_FOUND)
        return problem_response(
            problem, read_request_id(read_headers(request.scope)), request.url.path, "model_not_found"
        )

    return [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model}", model, methods=["GET"]),
    ]


async def _serve(service: Service, request: Request, form: Format) -> Response:
    started = loop_time()
    headers = read_headers(request.scope)
    request_id = read_request_id(headers)
    if service.overloaded():
        seen = await drain(request.stream())
        answer = service.turn_away(refusal=seen.form)
        if not seen.stream:
            return _respond(service, [answer], form, request_id)
        return _stream(service, CompletedStream(answer), form.chunks(request_id, with_usage=False))
    with service.arrival():
        body = await read_body(request, service.limits)
    read = chat_request if form is CHAT else completion_request
    parsed = read(body, service.limits, headers=headers)
    if not parsed.stream:
        return _respond(service, await _answers(service, parsed.requests, request_id, started), form, request_id)
    if len(parsed.requests) > 1:
        raise InvalidRequestError(Problem("stream", "is given with several prompts", "one prompt, or no stream"))
    stream = await service.stream(parsed.requests[0], request_id, started)
    return _stream(service, stream, form.chunks(request_id, with_usage=parsed.include_usage))


async def _answers(
    service: Service, requests: Sequence[InferenceRequest], request_id: str, started: float
) -> Sequence[Answer]:
    """Answer all requests at the same time; a single one, the usual case, without a task of its own."""
    if len(requests) == 1:
        return (await service.answer(requests[0], request_id, started),)
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


def _respond(service: Service, answers: Sequence[Answer], form: Format, request_id: str) -> Response:
    worst = max(answers, key=_distance) if len(answers) > 1 else answers[0]  # of several, headers describe this one
    status = service.last_resort_status if worst.served_by is Tier.LAST_RESORT else 200
    return json_response(form.completion(answers, request_id), status, headers_of(worst))


def _distance(answer: Answer) -> int:
    """Return how many tiers an answer is away from the primary tier."""
    return list(Tier).index(answer.served_by)


def _stream(service: Service, stream: AnswerStream, chunks: Chunks) -> Response:
    head = stream.head
    status = service.last_resort_status if head.served_by is Tier.LAST_RESORT else 200
    return stream_response(_events(stream, chunks), status, headers_of(head), stream)


async def _events(stream: AnswerStream, chunks: Chunks) -> AsyncIterator[bytes]:
    for first in chunks.first(stream.head.model):
        yield event(first)
    async for item in stream:
        match item:
            case TextDelta(text, model, _):
                yield event(chunks.text(text, model, refusal=stream.head.refusal))
            case StreamDone(answer):
                for last in chunks.last(answer):
                    yield event(last)
    yield _DONE
