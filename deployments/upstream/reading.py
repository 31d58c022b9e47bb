"""Reads a response of 200: its bytes, decoded, as events, as texts and an end, spliced onto the text so far.

Nothing is read behind an end but the token counts, and for a moment only: neither comments nor silence keep an answer
open that has ended.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import aiohttp
from msgspec.structs import replace

from deployments.execution.offered_tools import fault_of_calls
from deployments.execution.splice import Splicer, StartsOverError
from deployments.policy.outcome import Blank, Failed, Finished, StreamEnd, StreamItem
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.charsets import Transcoder
from deployments.upstream.encodings import Decoder, EncodingError, ExpandedError
from deployments.upstream.faults import TRANSPORT_ERRORS
from deployments.upstream.sse import EventReader, EventTooLargeError
from deployments.upstream.stream import ChunkReader
from deployments.upstream.text_form import EchoReader, is_echoed, is_sent_as_text

END_WAIT_S = 1.0
"""Seconds to wait, behind a finish reason, for the token counts and the end of the response."""

_MAX_FOREIGN = 1000
"""Lines that are no events, without any event between them, after which a response is read no further."""


class ResponseTooLargeError(Exception):
    """A response is larger than its bound."""


READING_ERRORS = (ResponseTooLargeError, EventTooLargeError, EncodingError, StartsOverError, *TRANSPORT_ERRORS)
"""The errors that reading a response can raise, cancellation aside."""


async def read_items(
    body: "Body", spec: RemoteSpec, request: InferenceRequest, chunks: ChunkReader
) -> AsyncGenerator[StreamItem, None]:
    """Give the items of the answer in `body`; without an end where `chunks` has found an error object.

    Raises:
        ResponseTooLargeError, EventTooLargeError, EncodingError, StartsOverError: the response cannot be read.
    """
    events, joined = EventReader(spec.max_event_bytes, spec.max_answer_bytes), _joined(request, spec)
    data: bytes | None = b""
    while data is not None and not chunks.is_done and not chunks.is_broken:
        data = await body.next(is_ending=chunks.has_ended)
        for event in events.finish() if data is None else events.feed(data):
            for part in chunks.feed(event):
                yield joined.feed(part) if isinstance(part, str) else part
        if events.foreign > _MAX_FOREIGN and not chunks.has_read:
            break
    if chunks.error:
        return
    for part in chunks.finish():
        yield joined.feed(part) if isinstance(part, str) else part
    if rest := joined.finish():
        yield rest
    yield await _end(chunks, events, body, request)


def _joined(request: InferenceRequest, spec: RemoteSpec) -> Splicer | EchoReader:
    """Return what joins the text to what is there before it: the text so far, or the prompt.

    A model that continues a raw text goes on exactly where it stops.
    """
    if not is_sent_as_text(request, spec):
        return Splicer(request.prefix)
    return EchoReader(request.text if is_echoed(request) and not request.prefix else "")


async def read_whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of a response.

    Raises:
        ResponseTooLargeError: it has more than `most` bytes.
        EncodingError: its encoding cannot be undone.
    """
    body, whole = Body(response, most), bytearray()
    while (data := await body.next(is_ending=False)) is not None:
        whole += data
    return bytes(whole)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


class Body:
    """The bytes of a response, decoded, in UTF-8, and bounded."""

    def __init__(self, response: aiohttp.ClientResponse, most: int) -> None:
        """Read `response`, which may have `most` bytes."""
        self._response = response
        self._peeked: bytes | None = None
        self._content = response.content
        self._decoder = Decoder(response.headers.get("content-encoding", ""), most)
        self._transcoder = Transcoder(response.charset)
        self._most = most
        self._size = 0
        self._until = 0.0
        self._is_over = False

    @property
    def content_type(self) -> str:
        """The type that the head of the response announces."""
        return self._response.content_type

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, by their names in lower case."""
        return lowered(self._response.headers)

    async def peek(self) -> bytes:
        """Return the first bytes, which `next` will return once more; empty where there are none."""
        self._peeked = await self.next(is_ending=False)
        return self._peeked or b""

    async def next(self, *, is_ending: bool) -> bytes | None:
        """Return the next bytes; `None` at the end.

        Where the answer `is_ending`, an error is an end, and so is `END_WAIT_S`.
        """
        if self._peeked is not None:
            data, self._peeked = self._peeked, None
            return data
        if self._is_over:
            return None
        if not is_ending:
            self._until = 0.0  # what looked like an end was none
        data = await (self._last() if is_ending else self._content.readany())
        self._is_over = not data
        self._size += len(data)
        try:
            decoded = self._decoder.feed(data)
        except ExpandedError:
            self._size = self._most + 1
        if self._size > self._most:
            raise ResponseTooLargeError(f"a response of more than {self._most} bytes")
        text = self._transcoder.feed(decoded, is_last=self._is_over)
        return text or (None if self._is_over else b"")

    async def finish(self) -> None:
        """Wait for a moment for the end, so that the connection can be used again; the answer is there."""
        self._peeked = None
        if not self._is_over and not self._content.at_eof():
            await self.next(is_ending=True)

    async def _last(self) -> bytes:
        clock = asyncio.get_running_loop().time
        self._until = self._until or clock() + END_WAIT_S
        try:
            async with asyncio.timeout_at(self._until):
                return await self._content.readany()
        except TRANSPORT_ERRORS:
            return b""


async def _end(chunks: ChunkReader, events: EventReader, body: Body, request: InferenceRequest) -> StreamEnd:
    """Return the end of an answer, once its tool calls are checked."""
    if not chunks.has_read and (events.foreign or chunks.skipped):
        return Failed(f"its response is not a JSON object ({body.content_type[:50]})")
    end = chunks.end()
    if isinstance(end, Blank) and not chunks.has_read:
        return Blank("its response is empty")
    if isinstance(end, (Blank, Failed)) and chunks.skipped:
        return replace(end, reason=f"{end.reason}; {chunks.skipped} of its events could not be read")
    if isinstance(end, Finished) and end.tool_calls:
        fault = await fault_of_calls(end.tool_calls, request.response_format)
        return Failed(fault, misfit=True) if fault else end
    return end
