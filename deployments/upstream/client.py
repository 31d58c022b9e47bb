"""One remote model, called over pooled connections. The race keeps the time, except for the connect timeout.

start ──► an endpoint ──► POST …/completions ──► 200 ──► reading (whole and streamed alike)
              ▲  ▲                  │             └─ anything else, or an error object ──► faults.classify_complaint
              │  └── it fails       └─ no response ──► faults.classify_transport
              └── without what of ours it does not take (`adaptation`)
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any

import aiohttp
from msgspec import structs

from deployments.execution.attempt import Begun, begin
from deployments.execution.execution import terms_of
from deployments.execution.offered_tools import tool_names
from deployments.execution.splice import StartsOverError
from deployments.observability import log
from deployments.observability.chores import close_all
from deployments.policy.extras import Extras
from deployments.policy.outcome import (
    Answered,
    Blank,
    Failed,
    Finished,
    Outcome,
    Refused,
    Rejected,
    StreamItem,
    TimedOut,
)
from deployments.policy.resilience import ResiliencePolicy
from deployments.policy.serving_state import ServingState
from deployments.request import Feature, InferenceRequest
from deployments.request.passing import OF_TEXTS
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import faults
from deployments.upstream.complaints import Complaint, read_complaint
from deployments.upstream.connection import Post
from deployments.upstream.decoding import decode_json
from deployments.upstream.encodings import EncodingError
from deployments.upstream.endpoints import Endpoints, Try, affinity_key, names_of
from deployments.upstream.family import Written
from deployments.upstream.formats import REMOTE_FORMATS
from deployments.upstream.naming import field_of_caller
from deployments.upstream.passage import no_answer_of_ours, passage_headers, process_id
from deployments.upstream.plain import read_plain
from deployments.upstream.reading import READING_ERRORS, Body, ResponseTooLargeError, lowered, read_items, read_whole
from deployments.upstream.recognition import is_complaint
from deployments.upstream.redaction import Redactor
from deployments.upstream.scores import has_vectors, is_asked_in_other_words, read_scores, refuse_scores
from deployments.upstream.sse import EventTooLargeError
from deployments.upstream.stream import ChunkReader
from deployments.upstream.text_form import is_sent_as_text
from deployments.upstream.thinking import tags_asked_for
from deployments.upstream.vectors import read_vectors

_OK = 200
_SUCCESSES = frozenset({_OK, 201, 202, 203, 206})
"""Statuses whose bodies are read: gateways answer with them, too."""

_MAX_ERROR_BYTES = 64 << 10


class Upstream:
    """A `ModelClient` for one remote model.

    Attributes:
        name: what the model is called here.
        spec: its spec.
        space: the vector space of its answers; empty where they are no vectors.
    """

    def __init__(self, name: str, spec: RemoteSpec, service_id: Callable[[], str] = process_id) -> None:
        """Get ready to call the model of `spec` under the name `name`; the first call connects.

        Args:
            name: what the model is called here.
            spec: what it is called there, and where.
            service_id: returns the id of this service, which travels along with requests.
        """
        self.name = name
        self.spec = spec
        self.space = spec.vector_space(name)
        self._service_id = service_id
        self._format = REMOTE_FORMATS[spec.api]
        self._endpoints = Endpoints(spec)
        secrets = [secret for endpoint in self._endpoints.all for secret in endpoint.connection.secrets]
        self._redactor = Redactor(secrets, names_of(spec, name))

    def has(self, feature: Feature, request: InferenceRequest) -> bool:
        """Return whether a feature of `request` has a place in the format that the model is asked in."""
        if self._format.has is not None:
            return self._format.has(feature, request)
        if feature.foreign:
            return False
        return ("text" if request.raw else "chat") in self.spec.passes_on or feature.name not in OF_TEXTS

    def follow(self, policy: ResiliencePolicy) -> None:
        """Have the breakers of the endpoints follow `policy`."""
        self._endpoints.policy = policy

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make one attempt; see `ModelClient`. The upstream may stream what was to come whole, or the reverse."""
        if (only := self._endpoints.only) is not None:  # nothing to choose
            return await self._ask(request, budget_s, only)
        key, left_s = affinity_key(request, self.spec.affinity), min(budget_s, request.timeout_s)
        return await self._endpoints.ask(partial(self._ask, request, budget_s), key, terms_of(request), left_s)

    async def aclose(self) -> None:
        """Close all connections."""
        await close_all(self.name, *(endpoint.connection.aclose for endpoint in self._endpoints.all))

    async def retire(self) -> None:
        """Close all connections once the requests under way have ended; no new ones may be made."""
        await close_all(self.name, *(endpoint.connection.retire for endpoint in self._endpoints.all))

    def describe(self) -> dict[str, Any]:
        """Return the state, without secrets, for `/status`."""
        endpoints = self._endpoints.all
        lacking = [endpoint.connection.lacks for endpoint in endpoints if endpoint.connection.lacks]
        is_lacking = len(lacking) == len(endpoints)
        told: dict[str, Any] = {
            "state": ServingState.FAILED if is_lacking else ServingState.READY,
            "reason": faults.lacks(lacking[0]).reason if lacking else "",
            "format": "remote",
            "upstream": endpoints[0].spec.base_url,
            "model": self.spec.model,
            **({"space": self.space} if self.space else {}),
            "requests": sum(endpoint.connection.in_flight for endpoint in endpoints),
        }
        return {**told, "endpoints": [endpoint.to_json() for endpoint in endpoints]} if len(endpoints) > 1 else told

    async def _ask(self, request: InferenceRequest, budget_s: float, on: Try) -> Outcome | Begun:
        """Make an attempt on an endpoint; it is asked again at once without what of ours it does not take."""
        endpoint = on.endpoint
        if self.space and (refused := refuse_scores(request, self.spec)) is not None:
            return refused
        if request.prompt_tokens and request.prefix:
            return Refused("it cannot go on with a text behind token ids")
        if endpoint.connection.lacks:
            lacking = faults.lacks(endpoint.connection.lacks)
            log.upstream_misconfigured(self.name, lacking.reason)
            return lacking
        headers = passage_headers(request, self._service_id(), budget_s)
        if self._format.headers is not None:
            headers |= self._format.headers(request, endpoint.connection.further)
        tried: frozenset[Enum] = frozenset()
        while True:
            written = self._format.written(request, self.spec)
            if not isinstance(written, Written):
                return written
            path, body, dropped = written
            dropped += endpoint.adaptation.adapt(body, request, tried)
            if dropped and request.strict:
                return faults.drops(dropped)
            result = await self._post(on, endpoint.connection.post(path, body, headers), request, dropped)
            if not isinstance(result, Complaint):
                if tried and isinstance(result, (Answered, Begun, Blank)):  # it was no fault of the rest of the request
                    endpoint.adaptation.learn(tried)
                return result
            quirk = endpoint.adaptation.find(result, body, request)
            if quirk is None or quirk in tried:
                return self._classify(result, request)
            tried |= {quirk}

    async def _post(
        self, on: Try, post: Post, request: InferenceRequest, dropped: tuple[str, ...]
    ) -> Outcome | Begun | Complaint:
        is_handed_on = False
        try:
            response = await post.open()
            if response.status not in _SUCCESSES:
                return await self._complaint(response)
            if (none := no_answer_of_ours(response.headers)) is not None:
                return none
            if self.space:
                return await self._vectors(response, request)
            read = Body(response, self.spec.max_answer_bytes)
            is_whole = not request.stream and not request.prefix and self._format.translator is None
            if is_whole and (plain := read_plain(await read.peek())) is not None:
                await read.finish()
                return plain
            is_handed_on = True
            return await self._answer(read, request, on, post, dropped)
        except READING_ERRORS as error:
            return self._fault(error)
        finally:
            if not is_handed_on:
                await post.aclose()

    async def _vectors(self, response: aiohttp.ClientResponse, request: InferenceRequest) -> Outcome | Complaint:
        """Read the vectors in a response; an error in their place is returned as it is."""
        try:
            value = _decode(await read_whole(response, self.spec.max_vectors_bytes))
        except ResponseTooLargeError as error:  # as the caller has asked for so many: that says nothing of the model
            return Refused(f"its vectors are over max_answer_bytes: {error}")
        if is_complaint(value) and not has_vectors(value):
            return read_complaint(value, _OK, lowered(response.headers))
        # In a thread: the numbers of many vectors are a lot to look through.
        read = read_scores if self.spec.task == "text-ranking" else read_vectors
        return await asyncio.to_thread(read, value, request, self.space)

    async def _answer(
        self, body: Body, request: InferenceRequest, on: Try, post: Post, dropped: tuple[str, ...]
    ) -> Outcome | Begun | Complaint:
        """Read the answer in a response, or its beginning; an error before that is returned as it is.

        `post` is closed at the end of the answer.
        """
        is_text = is_sent_as_text(request, self.spec)
        make, keeps = self._format.translator, request.sent.api == self.spec.api
        translator = None if make is None else make(keeps)
        tools, told = tool_names(request.response_format), () if is_text else tags_asked_for(request)
        chunks = ChunkReader(tools, has_thoughts=not is_text, asked_for=told, translator=translator)
        begun = await begin(self._items(body, request, chunks, on, post, dropped))
        if isinstance(begun, Begun):
            return begun if request.stream else await begun.read_to_end(self.spec.max_answer_bytes)
        return read_complaint(chunks.error, _OK, body.headers) if chunks.error else begun

    async def _items(
        self,
        body: Body,
        request: InferenceRequest,
        chunks: ChunkReader,
        on: Try,
        post: Post,
        dropped: tuple[str, ...],
    ) -> AsyncGenerator[StreamItem, None]:
        """Give the items of an answer; `post` is closed at its end."""
        try:
            async for item in read_items(body, self.spec, request, chunks):
                if not isinstance(item, (str, Extras)):
                    self._endpoints.broke(on, item)
                    if dropped and isinstance(item, Finished):
                        item = structs.replace(item, dropped=(*item.dropped, *dropped))  # noqa: PLW2901 - its end
                yield item
            if chunks.error:
                outcome = self._classify(read_complaint(chunks.error, _OK, body.headers), request)
                # Withheld: behind a text that is all there is to say.
                end = Finished(outcome.finish_reason) if isinstance(outcome, Answered) else outcome
                self._endpoints.broke(on, end)
                yield end
        except READING_ERRORS as error:
            fault = self._fault(error)
            self._endpoints.broke(on, fault)
            yield fault
        finally:
            for reason, count in chunks.skipped_for.items():
                log.upstream_event_skipped(self.name, reason, count)
            await post.aclose()

    async def _complaint(self, response: aiohttp.ClientResponse) -> Complaint:
        """Return the error in a response whose status is that of none of the successes."""
        headers = lowered(response.headers)
        try:
            body = await read_whole(response, _MAX_ERROR_BYTES)
        except READING_ERRORS:
            body = b""  # the status is enough to classify it
        text = "" if response.content_type == "text/html" else body.decode("utf-8", errors="replace")
        decoded = _decode(body)
        return read_complaint(decoded if isinstance(decoded, (Mapping, list)) else None, response.status, headers, text)

    def _classify(self, complaint: Complaint, request: InferenceRequest) -> Answered | Failed | Refused | Rejected:
        redactor = self._redactor
        is_translated = (request.sent.api or "chat") != self.spec.api or is_asked_in_other_words(self.spec)
        field = redactor.path(field_of_caller(complaint, request, self.spec.api))
        told = replace(complaint, codes=redactor.codes(complaint.codes), param=field)
        outcome = faults.classify_complaint(told, redactor.for_callers(complaint.message), translated=is_translated)
        if complaint.is_misconfigured:
            in_full = f"it answered {complaint.status}: {self._redactor.clean(complaint.message)}"
            log.upstream_misconfigured(self.name, in_full)
        return outcome

    def _fault(self, error: BaseException) -> Failed | Refused | TimedOut:
        if isinstance(error, StartsOverError):
            return Refused(str(error))
        if isinstance(error, (ResponseTooLargeError, EventTooLargeError)):
            return Failed(f"its response is too large: {error}")
        if isinstance(error, EncodingError):
            return Failed(f"its response has an encoding that was not asked for: {error}")
        outcome, is_misconfigured = faults.classify_transport(error)
        if is_misconfigured:
            log.upstream_misconfigured(self.name, f"{outcome.reason}: {self._redactor.clean(str(error))}")
        return outcome


def _decode(body: bytes) -> Any:
    """Return the decoded JSON of a body; the body as a text where it is not JSON."""
    try:
        return decode_json(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")
