"""The native API.

POST /v1/infer, /v1/infer/{model}    an answer; with `stream: true` its pieces (`event: token`), what comes beside them
                                     (`event: extras`), then `event: done`
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import ClassVar

import orjson
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.execution.streams import CompletedStream
from deployments.http.alive import COMMENT, PARAGRAPH, AliveStream
from deployments.http.arrival import Glimpse
from deployments.http.endpoint import post
from deployments.http.family import opened, serve
from deployments.http.responses import (
    UNAVAILABLE,
    are_many,
    event,
    headers_of,
    json_in_parts,
    json_response,
    status_of,
)
from deployments.http.service import Service
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.no_vector import no_vector_instead
from deployments.policy.problem import Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, TextDelta
from deployments.request import native
from deployments.request.inference import FORM_DEMANDED


def native_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    def infer(request: Request) -> Awaitable[ASGIApp]:
        return serve(service, _Native(service, request.path_params.get("model", "").rstrip("/")), request)

    return [
        post("/v1/infer/{model:path}", infer),  # first: see `asgi`
        post("/v1/infer", infer),
    ]


class _Native(Struct, frozen=True):
    """The native API, as a family; `model` is the one in the path."""

    form_demanded: ClassVar = FORM_DEMANDED
    service: Service
    model: str

    async def respond(self, body: bytes, headers: Mapping[str, str], request_id: str, started: float) -> ASGIApp:
        service = self.service
        asked = native.from_body(body, service.limits, model=self.model, headers=headers)
        if not asked.stream:
            answer = await service.answer(asked, request_id, started)
            if are_many(answer.result):
                written = await asyncio.to_thread(json_in_parts, answer.to_json(request_id), "result")
                return Response(written, status_of(answer, service), headers_of(answer), media_type="application/json")
            return _respond(service, answer, request_id)
        opening = partial(service.stream, asked, request_id, started)
        refusal = asked.response_format.demands_form
        return AliveStream(opening, _Writer(request_id), service, refusal=refusal)

    async def respond_unread(self, answer: Answer, request_id: str, seen: Glimpse) -> ASGIApp:
        if seen.vectors or self.service.gives_vectors(self.model or seen.model):
            answer = no_vector_instead(answer)
        if answer.unavailable or not seen.stream:
            return _respond(self.service, answer, request_id)
        opening = partial(opened, CompletedStream(answer))
        return AliveStream(opening, _Writer(request_id), self.service, refusal=seen.form)


def _respond(service: Service, answer: Answer, request_id: str) -> Response:
    status = UNAVAILABLE if answer.unavailable else status_of(answer, service)
    return json_response(answer.to_json(request_id), status, headers_of(answer))


@dataclass(slots=True)
class _Writer:
    """Writes a stream as events of the native API: `token`, `extras`, then `done`, or `error`.

    The last resort for an error of our own is a stream behind another one, whose texts its result begins with.
    """

    request_id: str
    _told: list[str] = field(default_factory=list)
    sign_of_life = COMMENT

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        before = f"{''.join(self._told)}{PARAGRAPH}" if self._told else ""
        async for item in stream:
            if isinstance(item, TextDelta):
                said = f"{PARAGRAPH}{item.text}" if before else item.text
                self._told.append(said)
                yield _TEXT + orjson.dumps(said) + _behind_text(item.model, item.served_by)
            elif isinstance(item, ExtrasDelta):
                told = {"extras": item.extras.to_json(), "model": item.model, "served_by": item.served_by.value}
                yield event(told, "extras")
            else:
                answer = item.answer
                whole = replace(answer, result=f"{before}{answer.result}") if before else answer
                yield event(whole.to_json(self.request_id), "done")

    def refused(self, problem: Problem) -> Iterator[bytes]:
        yield event(problem.to_body(self.request_id), "error")


_TEXT = b'event: token\ndata: {"text":'


@lru_cache(maxsize=256)
def _behind_text(model: str, tier: Tier) -> bytes:
    """Return what stands behind a text in its event. Cached: it is the same for all texts of a stream."""
    return b",%s\n\n" % orjson.dumps({"model": model, "served_by": tier.value})[1:]
