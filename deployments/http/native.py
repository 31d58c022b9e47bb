"""The native API.

POST /v1/infer, /v1/infer/{model}    an answer; with `stream: true` its pieces (`event: token`), what comes beside them
                                     (`event: extras`), then `event: done`
GET  /healthz                        this process is alive; 503 when it is about to be replaced
GET  /readyz                         which tiers are ready; 200 once every router would answer with a model
GET  /status                         models, replicas, breakers, counts
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.execution.clock import loop_time
from deployments.execution.streams import CompletedStream
from deployments.http.alive import AliveStream
from deployments.http.arrival import Glimpse, read_body, read_headers, read_request_id, skim, skim_body
from deployments.http.responses import UNAVAILABLE, event, headers_of, json_response, status_of, stream_response
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamDone, TextDelta
from deployments.request import native


def native_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def infer(request: Request) -> ASGIApp:
        started = loop_time()
        headers = read_headers(request.scope)
        request_id = read_request_id(headers)
        if service.overloaded():
            seen = await skim_body(request, service.limits, headers)
            return _respond_unread(service, service.turn_away(refusal=seen.form), request, request_id, seen)
        with service.arrival():
            body = await read_body(request, service.limits, headers)
        try:
            model = request.path_params.get("model", "")
            parsed = native.from_body(body, service.limits, model=model, headers=headers)
            if not parsed.stream:
                return _respond(service, await service.answer(parsed, request_id, started), request_id, streamed=False)
        except InvalidRequestError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours must not cost an answer
            log.internal_error("http", request.url.path, error)
            seen = skim(body)
            return _respond_unread(service, service.last_resort(refusal=seen.form), request, request_id, seen)
        return AliveStream(
            lambda: service.stream(parsed, request_id, started),
            _Writer(request_id),
            service,
            refusal=parsed.response_format.demands_form,
        )

    async def healthz(_: Request) -> Response:
        try:
            await service.check_health()
        except RuntimeError as error:
            return json_response({"status": "failing", "reason": str(error)}, 503)
        return json_response({"status": "alive"})

    async def readyz(_: Request) -> Response:
        tiers = await service.readiness_of_all()
        ready = tiers[Tier.PRIMARY.value] or tiers[Tier.BACKUP.value]
        return json_response({"ready": ready, "tiers": tiers}, 200 if ready else 503)

    async def status(_: Request) -> Response:
        return json_response(service.describe())

    return [
        Route("/v1/infer", infer, methods=["POST"]),
        Route("/v1/infer/{model}", infer, methods=["POST"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/status", status, methods=["GET"]),
    ]


def _respond_unread(service: Service, answer: Answer, request: Request, request_id: str, seen: Glimpse) -> Response:
    """Respond with the last resort to a request of which nothing is known but its path and what was `seen`."""
    if seen.vectors or service.gives_vectors(request.path_params.get("model", "") or seen.model):
        answer = no_vector_instead(answer)
    return _respond(service, answer, request_id, streamed=seen.stream)


def _respond(service: Service, answer: Answer, request_id: str, *, streamed: bool) -> Response:
    if answer.unavailable:
        return json_response(answer.to_json(request_id), UNAVAILABLE, headers_of(answer))
    status = status_of(answer, service)
    if streamed:
        told = CompletedStream(answer)
        return stream_response(_Writer(request_id).events(told), status, headers_of(answer), told)
    return json_response(answer.to_json(request_id), status, headers_of(answer))


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes a stream as events of the native API: `token`, `extras`, then `done`, or `error`."""

    request_id: str

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        async for item in stream:
            match item:
                case TextDelta(text, model, tier):
                    yield event({"text": text, "model": model, "served_by": tier.value}, "token")
                case ExtrasDelta(extras, model, tier):
                    told = {"extras": extras.to_json(), "model": model, "served_by": tier.value}
                    yield event(told, "extras")
                case StreamDone(answer):
                    yield event(answer.to_json(self.request_id), "done")

    def refused(self, problem: Problem) -> Iterator[bytes]:
        yield event(problem.to_body(self.request_id), "error")
