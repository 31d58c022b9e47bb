"""One remote model, called over pooled connections. The race keeps the time, except for the connect timeout.

start ──► POST chat/completions ──► 200 ──► reading (whole and streamed alike)
              │                      └─ anything else, or an error object ──► faults.classify_complaint
              └─ no response ──► faults.classify_transport
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from deployments.execution.attempt import Begun, as_items, begin
from deployments.execution.offered_tools import tool_names
from deployments.execution.splice import StartsOverError
from deployments.observability import log
from deployments.policy.outcome import Failed, Outcome, Refused, StreamItem
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import faults
from deployments.upstream.connection import Connection
from deployments.upstream.decoding import EncodingError, decode_json
from deployments.upstream.plain import read_plain
from deployments.upstream.reading import READING_ERRORS, Body, ResponseTooLargeError, read_items, read_whole
from deployments.upstream.sse import EventTooLargeError
from deployments.upstream.stream import ChunkReader
from deployments.upstream.wire import to_body

_OK = 200
_MAX_ERROR_BYTES = 64 << 10


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
                reading = Body(response, self.spec.max_answer_bytes)
                if (
                    not request.stream
                    and not request.prefix
                    and (plain := read_plain(await reading.peek())) is not None
                ):
                    await reading.finish()
                    return plain
                begun = await begin(self._items(reading, request, exits.pop_all()))
                if request.stream or not isinstance(begun, Begun):
                    return begun
                return await begun.read_to_end(self.spec.max_answer_bytes)
        except READING_ERRORS as error:
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

    async def _items(
        self, body: Body, request: InferenceRequest, exits: AsyncExitStack
    ) -> AsyncGenerator[StreamItem, None]:
        """Give the items of a response; `exits` gives the connection back at its end."""
        chunks = ChunkReader(tool_names(request.response_format))
        async with exits:
            try:
                async for item in read_items(body, self.spec, request, chunks):
                    yield item
                if chunks.error:
                    for item in as_items(self._classify(faults.read_complaint(chunks.error, _OK, {}), request)):
                        yield item
            except READING_ERRORS as error:
                yield self._fault(error)
            finally:
                for reason, count in chunks.skipped_for.items():
                    log.upstream_event_skipped(self.name, reason, count)

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
            body = await read_whole(response, _MAX_ERROR_BYTES)
        except READING_ERRORS:
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
        if isinstance(error, (ResponseTooLargeError, EventTooLargeError)):
            return Failed(f"its response is too large: {error}")
        if isinstance(error, EncodingError):
            return Failed(f"its response has an encoding that was not asked for: {error}")
        outcome, is_misconfigured = faults.classify_transport(error, self._connection.redactor.clean(str(error)))
        if is_misconfigured:
            log.upstream_misconfigured(self.name, outcome.reason)
        return outcome


def _decode(body: bytes) -> Any:
    """Return the decoded JSON of a body; the body as a text where it is not JSON."""
    try:
        return decode_json(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")
