"""One remote model, called over pooled connections. The race keeps the time, except for the connect timeout.

start ──► POST chat/completions ──► 200 ──► wire (whole), stream (events)
              │                      └─ anything else, or an error object ──► faults.classify_complaint
              └─ no response ──► faults.classify_transport
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
from msgspec.structs import replace

from deployments.execution.attempt import Begun, as_items, begin
from deployments.execution.splice import Splicer, StartsOverError
from deployments.observability import log
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import faults
from deployments.upstream.connection import Connection
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

    def __init__(self, name: str, spec: RemoteSpec) -> None:
        """Get ready to call the model of `spec` under the name `name`; the first call connects."""
        self.name = name
        self.spec = spec
        self._connection = Connection(spec)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:  # noqa: ARG002 - see the module
        """Make one attempt; see `ModelClient`. The upstream may stream what was to come whole, or the reverse."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            async with AsyncExitStack() as exits:
                body = to_body(request, self.spec, stream=request.stream)
                response = await exits.enter_async_context(self._connection.post(body))
                if response.status != _OK:
                    return await self._complaint(response, request)
                if not _is_stream(response, wanted=request.stream):
                    return await self._whole(response, request)
                return await begin(self._items(response, request, exits.pop_all()))
        except (_TooLargeError, EventTooLargeError, StartsOverError, *faults.TRANSPORT_ERRORS) as error:
            return self._fault(error)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()

    async def retire(self) -> None:
        """Close all connections once the requests under way have ended; no new ones may be made."""
        await self._connection.retire()

    def describe(self) -> dict[str, Any]:
        """Return the state, without secrets, for `/status`."""
        return {
            "state": "failed" if self._connection.lacks else "ready",
            "reason": self._lacking().reason if self._connection.lacks else "",
            "format": "remote",
            "upstream": self.spec.base_url,
            "model": self.spec.model,
            "requests": self._connection.in_flight,
        }

    async def _whole(self, response: aiohttp.ClientResponse, request: InferenceRequest) -> Outcome:
        """Return the outcome of a response that is not a stream."""
        data = _decode(await self._read(response, self.spec.max_answer_bytes))
        if not isinstance(data, Mapping):
            return _no_answer(data, response)
        if data.get("error"):
            return self._classify(faults.read_complaint(data, _OK, {}), request)
        return _spliced(read_completion(data), request.prefix)

    async def _items(
        self, response: aiohttp.ClientResponse, request: InferenceRequest, exits: AsyncExitStack
    ) -> AsyncGenerator[StreamItem, None]:
        """Give the items of a stream; `exits` gives the connection back at its end."""
        async with exits:
            try:
                async for item in self._events(response, request):
                    yield item
            except (_TooLargeError, EventTooLargeError, StartsOverError, *faults.TRANSPORT_ERRORS) as error:
                yield self._fault(error)

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
            for item in as_items(self._classify(faults.read_complaint(chunks.error, _OK, {}), request)):
                yield item
        else:
            yield chunks.end()

    def _refusal(self, request: InferenceRequest) -> Failed | Refused | None:
        """Return why `request` cannot be sent; `None` where it can."""
        if self._connection.lacks:
            log.upstream_misconfigured(self.name, self._lacking().reason)
            return self._lacking()
        if request.prefix and self.spec.prefill == "never":
            return Refused("it does not take the beginning of an answer")
        return None

    def _lacking(self) -> Failed:
        return Failed(f"the router's environment lacks {self._connection.lacks}")

    async def _complaint(self, response: aiohttp.ClientResponse, request: InferenceRequest) -> Outcome:
        """Return the outcome of a response whose status is not 200."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            body = await self._read(response, _MAX_ERROR_BYTES)
        except (_TooLargeError, *faults.TRANSPORT_ERRORS):
            body = b""  # the status is enough to classify it
        text = "" if response.content_type == "text/html" else body.decode("utf-8", errors="replace")
        return self._classify(faults.read_complaint(_decode(body), response.status, headers, text), request)

    def _classify(self, complaint: faults.Complaint, request: InferenceRequest) -> Outcome:
        explanation = self._connection.redactor.clean(complaint.message)
        outcome = faults.classify_complaint(complaint, explanation, prefilled=bool(request.prefix))
        if complaint.is_misconfigured:
            log.upstream_misconfigured(self.name, outcome.reason)
        return outcome

    def _fault(self, error: BaseException) -> Failed | Refused | Any:
        if isinstance(error, StartsOverError):
            return Refused(str(error))
        if isinstance(error, (_TooLargeError, EventTooLargeError)):
            return Failed(f"its response is too large: {error}")
        outcome, is_misconfigured = faults.classify_transport(error, self._connection.redactor.clean(str(error)))
        if is_misconfigured:
            log.upstream_misconfigured(self.name, outcome.reason)
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
