"""The families of wire formats: what each of them brings, and what is done for all of them.

    respond           a body that was read: an answer, whole or as a stream
    respond_unread    the last resort, to a body of which little is known: too many requests are under way, or we broke

A **format of conversations** brings less: how a body becomes an `InferenceRequest`, and a `Reply`, which writes the
router's answer, or the pieces of it. `Conversations` makes a family of it. What a caller gets in the place of an answer
is the same in all of them: 4xx before the first byte, an event behind it, the last resort for everything of our own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp

from deployments.execution.clock import loop_time
from deployments.execution.streams import CompletedStream
from deployments.http.alive import AliveStream, Writer
from deployments.http.arrival import Glimpse, read_body, read_headers, read_request_id, skim, skim_body
from deployments.http.replays import ARRIVALS
from deployments.http.responses import UNAVAILABLE, headers_of, json_response, status_of
from deployments.http.service import Service
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.problem import InvalidRequestError
from deployments.policy.stream_events import AnswerStream
from deployments.policy.trace_context import TRACEPARENT
from deployments.ray_serve.names import ARRIVED_HEADER
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.trace_headers import CALLERS_TRACE, read_trace
from deployments.storage.store import StoreUnreachableError


class Family(Protocol):
    """The requests and the answers of one family."""

    @property
    def form_demanded(self) -> re.Pattern[bytes]:
        """Is found in every body that demands a form of its answer, such as JSON or a tool call."""
        ...

    async def respond(self, body: bytes, headers: Mapping[str, str], request_id: str, started: float) -> ASGIApp:
        """Answer a request that arrived at `started`, on the event loop's clock.

        Raises:
            InvalidRequestError: it is invalid, and nothing has been sent yet.
        """
        ...

    async def respond_unread(self, answer: Answer, request_id: str, seen: Glimpse) -> ASGIApp:
        """Give `answer`, a last resort, to a request of which nothing is known but what was `seen`."""
        ...


class Reply(Protocol):
    """How the answer to one request is written."""

    async def body(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """Write a whole answer."""
        ...

    def error(self, answer: Answer, request_id: str) -> Mapping[str, Any]:
        """Write an answer that has an error in the place of its result: see `Answer.unavailable`."""
        ...

    def writer(self, request_id: str) -> Writer:
        """Return what writes the answer as a stream."""
        ...


class ConversationFormat(Protocol):
    """A format of whose requests each has one answer."""

    @property
    def form_demanded(self) -> re.Pattern[bytes]:
        """As in `Family`."""
        ...

    async def read(
        self, body: bytes, limits: Limits, headers: Mapping[str, str], started: float
    ) -> tuple[InferenceRequest, Reply]:
        """Read a body that arrived at `started`; `headers` are by their names in lower case.

        Raises:
            InvalidRequestError: the body is not a valid request; the problem names a field of the format.
        """
        ...

    def unread(self) -> Reply:
        """Return how a request is replied to that was not read."""
        ...


@dataclass(frozen=True, slots=True)
class Conversations:
    """The family of a format of conversations."""

    service: Service
    form: ConversationFormat

    @property
    def form_demanded(self) -> re.Pattern[bytes]:
        """That of the format."""
        return self.form.form_demanded

    async def respond(self, body: bytes, headers: Mapping[str, str], request_id: str, started: float) -> ASGIApp:
        """See `Family`."""
        asked, reply = await self.form.read(body, self.service.limits, headers, started)
        if not asked.stream:
            return await self._whole(await self.service.answer(asked, request_id, started), reply, request_id)
        opening = partial(self.service.stream, asked, request_id, started)
        refusal = asked.response_format.demands_form
        return AliveStream(opening, reply.writer(request_id), self.service, refusal=refusal)

    async def respond_unread(self, answer: Answer, request_id: str, seen: Glimpse) -> ASGIApp:
        """See `Family`."""
        reply = self.form.unread()
        if not seen.stream:
            return await self._whole(answer, reply, request_id)
        opening = partial(opened, CompletedStream(answer))
        return AliveStream(opening, reply.writer(request_id), self.service, refusal=seen.form)

    async def _whole(self, answer: Answer, reply: Reply, request_id: str) -> ASGIApp:
        if answer.unavailable:
            return json_response(reply.error(answer, request_id), UNAVAILABLE, headers_of(answer))
        status = status_of(answer, self.service)
        return json_response(await reply.body(answer, request_id), status, headers_of(answer))


async def serve(service: Service, family: Family, request: Request) -> ASGIApp:
    """Answer one request of `family`: an error of our own costs no answer.

    Raises:
        InvalidRequestError: the request is invalid.
    """
    started = loop_time()
    headers = read_headers(request.scope)
    if ARRIVED_HEADER in headers:
        started -= ARRIVALS.age_s(headers[ARRIVED_HEADER])
    request_id = read_request_id(headers)
    caller = read_trace(headers) if TRACEPARENT in headers else None
    if caller is not CALLERS_TRACE.get():  # to set a variable is dear
        CALLERS_TRACE.set(caller)
    if service.overloaded():
        seen = await skim_body(request, service.limits, headers, family.form_demanded)
        return await family.respond_unread(service.turn_away(refusal=seen.form), request_id, seen)
    with service.arrival():
        body = await read_body(request, service.limits, headers)
    try:
        return await family.respond(body, headers, request_id, started)
    except InvalidRequestError:
        raise
    except StoreUnreachableError:  # it is logged; without what went before, any other answer would be a wrong one
        seen = skim(body, family.form_demanded)
        return await family.respond_unread(service.last_resort(refusal=seen.form), request_id, seen)
    except Exception as error:  # noqa: BLE001 - a bug of ours must not cost an answer
        log.internal_error("http", request.url.path, error)
        seen = skim(body, family.form_demanded)
        return await family.respond_unread(service.last_resort(refusal=seen.form), request_id, seen)


async def opened(stream: AnswerStream) -> AnswerStream:
    """Return a stream that is open already, as one that opens."""
    return stream
