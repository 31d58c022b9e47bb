"""One remote model, called over pooled connections. The race keeps the time, except for the connect timeout.

start ──► an endpoint ──► POST chat/completions ──► 200 ──► wire (whole), stream (events)
              ▲  ▲                  │                └─ anything else, or an error object ──► faults.classify_complaint
              │  └── it fails       └─ no response ──► faults.classify_transport
              └── without what of ours it does not take (`adaptation`)
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
from msgspec.structs import replace

from deployments.execution.attempt import Begun, as_items, begin
from deployments.execution.splice import Splicer, StartsOverError
from deployments.observability import log
from deployments.policy.blank import is_blank
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Blank, Failed, Finished, Outcome, Refused, StreamItem
from deployments.policy.resilience import ResiliencePolicy
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import faults
from deployments.upstream.adaptation import Quirk
from deployments.upstream.complaints import Complaint, is_complaint, read_complaint
from deployments.upstream.endpoints import Endpoint, Endpoints, affinity_key, names_of
from deployments.upstream.passage import no_answer_of_ours, passage_headers, process_id
from deployments.upstream.redaction import Redactor
from deployments.upstream.sse import EventReader, EventTooLargeError
from deployments.upstream.stream import ChunkReader
from deployments.upstream.wire import read_completion, to_body

_OK = 200
_MAX_ERROR_BYTES = 64 << 10
_USAGE_WAIT_S = 1.0
"""Seconds to wait for the token counts of a stream after its finish reason."""


class _TooLargeError(Exception):
    """A response is larger than its bound."""


class Upstream:
    """A `ModelClient` for one remote model."""

    def __init__(self, name: str, spec: RemoteSpec, service_id: Callable[[], str] = process_id) -> None:
        """Get ready to call the model of `spec` under the name `name`; the first call connects.

        Args:
            name: what the model is called here.
            spec: what it is called there, and where.
            service_id: returns the id of this service, which travels along with requests.
        """
        self.name = name
        self.spec = spec
        self._service_id = service_id
        self._endpoints = Endpoints(spec)
        secrets = [secret for endpoint in self._endpoints.all for secret in endpoint.connection.secrets]
        self._redactor = Redactor(secrets, names_of(spec, name))

    def follow(self, policy: ResiliencePolicy) -> None:
        """Have the breakers of the endpoints follow `policy`."""
        self._endpoints.policy = policy

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make one attempt; see `ModelClient`. The upstream may stream what was to come whole, or the reverse."""

        async def ask_one(endpoint: Endpoint) -> Outcome | Begun:
            return await self._ask(endpoint, request, budget_s)

        return await self._endpoints.ask(ask_one, affinity_key(request, self.spec.affinity))

    async def aclose(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.all:
            await endpoint.connection.aclose()

    async def retire(self) -> None:
        """Close all connections once the requests under way have ended; no new ones may be made."""
        for endpoint in self._endpoints.all:
            await endpoint.connection.retire()

    def describe(self) -> dict[str, Any]:
        """Return the state, without secrets, for `/status`."""
        endpoints = self._endpoints.all
        lacking = [endpoint.connection.lacks for endpoint in endpoints if endpoint.connection.lacks]
        is_lacking = len(lacking) == len(endpoints)
        told: dict[str, Any] = {
            "state": "failed" if is_lacking else "ready",
            "reason": _lacking(lacking[0]).reason if lacking else "",
            "format": "remote",
            "upstream": endpoints[0].spec.base_url,
            "model": self.spec.model,
            "requests": sum(endpoint.connection.in_flight for endpoint in endpoints),
        }
        return {**told, "endpoints": [endpoint.to_json() for endpoint in endpoints]} if len(endpoints) > 1 else told

    async def _ask(self, endpoint: Endpoint, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make an attempt on `endpoint`; it is asked again at once without what of ours it does not take."""
        if endpoint.connection.lacks:
            lacking = _lacking(endpoint.connection.lacks)
            log.upstream_misconfigured(self.name, lacking.reason)
            return lacking
        headers = passage_headers(request, self._service_id(), budget_s)
        tried: frozenset[Quirk] = frozenset()
        while True:
            body = to_body(request, self.spec, stream=request.stream)
            endpoint.adaptation.adapt(body, request, tried)
            result = await self._post(endpoint, body, headers, request)
            if not isinstance(result, Complaint):
                if isinstance(result, (Answered, Begun, Blank)):  # it was no fault of the rest of the request
                    endpoint.adaptation.known |= tried
                return result
            quirk = endpoint.adaptation.find(result, body, request)
            if quirk is None or quirk in tried:
                return self._classify(result)
            tried |= {quirk}

    async def _post(
        self, endpoint: Endpoint, body: dict[str, Any], headers: Mapping[str, str], request: InferenceRequest
    ) -> Outcome | Begun | Complaint:
        try:
            async with AsyncExitStack() as exits:
                response = await exits.enter_async_context(endpoint.connection.post(body, headers))
                if response.status != _OK:
                    return await self._complaint(response)
                if (none := no_answer_of_ours(response.headers)) is not None:
                    return none
                if not _is_stream(response, wanted=request.stream):
                    return await self._whole(response, request)
                return await begin(self._items(response, request, exits.pop_all(), endpoint))
        except (_TooLargeError, EventTooLargeError, StartsOverError, *faults.TRANSPORT_ERRORS) as error:
            return self._fault(error)

    async def _whole(self, response: aiohttp.ClientResponse, request: InferenceRequest) -> Outcome | Complaint:
        """Return the outcome of a response that is not a stream, or the error in it."""
        data = _decode(await self._read(response, self.spec.max_answer_bytes))
        if is_complaint(data):
            return read_complaint(data, _OK, {})
        if not isinstance(data, Mapping):
            return _no_answer(data, response)
        return _spliced(read_completion(data), request.prefix)

    async def _items(
        self, response: aiohttp.ClientResponse, request: InferenceRequest, exits: AsyncExitStack, endpoint: Endpoint
    ) -> AsyncGenerator[StreamItem, None]:
        """Give the items of a stream; `exits` gives the connection back at its end."""
        async with exits:
            try:
                async for item in self._events(response, request):
                    if not isinstance(item, (str, Extras)):
                        self._endpoints.broke(endpoint, item)
                    yield item
            except (_TooLargeError, EventTooLargeError, StartsOverError, *faults.TRANSPORT_ERRORS) as error:
                fault = self._fault(error)
                self._endpoints.broke(endpoint, fault)
                yield fault

    async def _events(self, response: aiohttp.ClientResponse, request: InferenceRequest) -> AsyncIterator[StreamItem]:
        chunks, events, splicer = ChunkReader(), EventReader(self.spec.max_event_bytes), Splicer(request.prefix)
        size, data = 0, b" "
        while data and not chunks.done and not chunks.broken:
            data = await _next_chunk(response, chunks)
            size += len(data)
            if size > self.spec.max_answer_bytes:
                raise _TooLargeError(f"a stream of more than {self.spec.max_answer_bytes} bytes")
            for event in events.feed(data) if data else events.finish():
                for text in chunks.feed(event):
                    yield splicer.feed(text)
                if chunks.skipped:
                    log.upstream_event_skipped(self.name, chunks.skipped)
        if rest := splicer.finish():
            yield rest
        if chunks.error:
            outcome = self._classify(read_complaint(chunks.error, _OK, {}))
            if isinstance(outcome, Answered):  # withheld: behind a text that is all there is to say
                yield Finished(outcome.finish_reason)
                return
            for item in as_items(outcome):
                yield item
        else:
            yield chunks.end()

    async def _complaint(self, response: aiohttp.ClientResponse) -> Complaint:
        """Return the error in a response whose status is not 200."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            body = await self._read(response, _MAX_ERROR_BYTES)
        except (_TooLargeError, *faults.TRANSPORT_ERRORS):
            body = b""  # the status is enough to classify it
        text = "" if response.content_type == "text/html" else body.decode("utf-8", errors="replace")
        decoded = _decode(body)
        return read_complaint(decoded if isinstance(decoded, (Mapping, list)) else None, response.status, headers, text)

    def _classify(self, complaint: Complaint) -> Outcome:
        outcome = faults.classify_complaint(complaint, self._redactor.for_callers(complaint.message))
        if complaint.is_misconfigured:
            said = f"it answered {complaint.status}: {self._redactor.clean(complaint.message)}"
            log.upstream_misconfigured(self.name, said)
        return outcome

    def _fault(self, error: BaseException) -> Failed | Refused | Any:
        if isinstance(error, StartsOverError):
            return Refused(str(error))
        if isinstance(error, (_TooLargeError, EventTooLargeError)):
            return Failed(f"its response is too large: {error}")
        outcome, is_misconfigured = faults.classify_transport(error)
        if is_misconfigured:
            log.upstream_misconfigured(self.name, f"{outcome.reason}: {self._redactor.clean(str(error))}")
        return outcome

    @staticmethod
    async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
        body = bytearray()
        while chunk := await response.content.readany():
            body += chunk
            if len(body) > most:
                raise _TooLargeError(f"a response of more than {most} bytes")
        return bytes(body)


async def _next_chunk(response: aiohttp.ClientResponse, chunks: ChunkReader) -> bytes:
    """Return the bytes that have arrived; empty at the end. After a finish reason an error or a time-out is an end."""
    if not chunks.finish_reason:
        return await response.content.readany()
    try:
        async with asyncio.timeout(_USAGE_WAIT_S):
            return await response.content.readany()
    except faults.TRANSPORT_ERRORS:
        return b""


def _lacking(variable: str) -> Failed:
    return Failed(f"the router's environment lacks {variable}")


def _decode(body: bytes) -> Any:
    """Return the decoded JSON of a body; the body as a text where it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", errors="replace")


def _no_answer(data: Any, response: aiohttp.ClientResponse) -> Failed | Blank:
    if isinstance(data, str) and is_blank(data):
        return Blank("its response is empty")
    return Failed(f"its response is not a JSON object ({response.content_type[:50]})")


def _is_stream(response: aiohttp.ClientResponse, *, wanted: bool) -> bool:
    """Return whether to read a response as server-sent events: if `wanted`, any type but JSON and HTML counts."""
    if response.content_type == "text/event-stream":
        return True
    return wanted and "json" not in response.content_type and response.content_type != "text/html"


def _spliced(outcome: Outcome, prefix: str) -> Outcome:
    """Return an answer that continues `prefix`, without what it repeats of `prefix`.

    Raises:
        StartsOverError: the answer starts over instead of continuing.
    """
    if not isinstance(outcome, Answered) or not prefix or not isinstance(outcome.result, str):
        return outcome
    splicer = Splicer(prefix)
    text = splicer.feed(outcome.result) + splicer.finish()
    return Blank("it had nothing to add", complete=True) if is_blank(text) else replace(outcome, result=text)
