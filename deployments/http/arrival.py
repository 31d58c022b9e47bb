"""The body of a request on its way in: bounded in size and time, and dropped where the request is turned away."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from starlette.requests import Request
from starlette.types import Scope

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, check_size
from deployments.request.compression import Inflater, inflate
from deployments.request.inference import FORM_DEMANDED

REQUEST_ID_HEADER = "x-request-id"
LONGEST_REQUEST_ID = 128

SENT = "neverblank.sent"
"""Key of a scope: the headers as they were sent, where `protocol` hands others to Serve."""
ARRIVED = "neverblank.arrived"
"""Key of a scope: whether the whole body was there when the request was begun."""

_ENCODING, _EXPECT = "content-encoding", "expect"
_DIGITS = 20

_DRAIN_BYTES = 64 << 20
_DRAIN_S = 5.0
"""The bounds of what is read of a body after it has been refused: most clients read no response before they have sent
everything."""

# No pattern matches inside a JSON string, where quotation marks are escaped.
_STREAM_WANTED = re.compile(rb'"stream"\s*:\s*true')
_USAGE_WANTED = re.compile(rb'"include_usage"\s*:\s*true')
_VECTORS_WANTED = re.compile(rb'"task"\s*:\s*"feature-extraction"')
_MODEL_NAMED = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')
_OVERLAP = 160


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Facts about a body that was skimmed, not parsed: whether it asks for a stream, a form, token counts, vectors.

    Attributes:
        model: the model that it names first; empty where it names none.
    """

    stream: bool
    form: bool
    usage: bool
    vectors: bool
    model: str = ""


def read_headers(scope: Scope) -> dict[str, str]:
    """Return all headers by their names in lower case. Starlette's own mapping searches the list at each access."""
    sent = scope.get(SENT) or scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}


def read_request_id(headers: Mapping[str, str]) -> str:
    """Return the id in `x-request-id`, or a new one. Serve sets the header where the caller does not, and echoes it.

    Of a longer one it is the first `LONGEST_REQUEST_ID` characters: it is in every chunk of a stream, and in the log.
    """
    return headers.get(REQUEST_ID_HEADER, "")[:LONGEST_REQUEST_ID] or uuid4().hex


async def skim_body(
    request: Request, limits: Limits, headers: Mapping[str, str], form: re.Pattern[bytes] = FORM_DEMANDED
) -> Glimpse:
    """Read a body of a request that is turned away, and drop it: only what decides the form of the answer is kept.

    Args:
        request: the request.
        limits: the bounds of its body.
        headers: its headers, by their names in lower case.
        form: is found in bodies that demand a form.

    Raises:
        InvalidRequestError: as in `read_body`.
    """
    patterns = _patterns(form)
    found, last, model = [False] * len(patterns), b"", ""

    def look(chunk: bytes) -> None:
        nonlocal found, last, model
        seen = last + chunk
        found = [before or asked.search(seen) is not None for before, asked in zip(found, patterns, strict=True)]
        model = model or _model_in(seen)
        last = seen[-_OVERLAP:]

    if headers.get(_ENCODING):
        await _skim_inflated(request, limits, headers[_ENCODING], look)
    else:
        await _read_chunks(request, limits, look)
    stream, demands, usage, vectors = found
    return Glimpse(stream, demands, usage, vectors, model)


async def _skim_inflated(request: Request, limits: Limits, encoding: str, look: Callable[[bytes], None]) -> None:
    """Have `look` see a compressed body, inflated piece by piece, of which no more than one is held."""
    try:
        inflater = Inflater(encoding, limits)
    except InvalidRequestError:  # most clients read no response before they have sent everything
        await _read_chunks(request, limits, lambda _: None)
        raise

    async def take(chunk: bytes) -> None:
        for piece in inflater.feed(chunk):
            look(piece)
            await asyncio.sleep(0)  # others have their turn: a few bytes can stand for megabytes

    await _read_chunks(request, limits, take)
    inflater.end()


def skim(body: bytes, form: re.Pattern[bytes] = FORM_DEMANDED) -> Glimpse:
    """Return the same facts about a whole body, for a request that could not be answered by its parsed form."""
    stream, demands, usage, vectors = (asked.search(body) is not None for asked in _patterns(form))
    return Glimpse(stream, demands, usage, vectors, _model_in(body))


def _patterns(form: re.Pattern[bytes]) -> tuple[re.Pattern[bytes], ...]:
    return _STREAM_WANTED, form, _USAGE_WANTED, _VECTORS_WANTED


def _model_in(body: bytes) -> str:
    named = _MODEL_NAMED.search(body)
    return named[1].decode(errors="replace") if named else ""


async def read_body(request: Request, limits: Limits, headers: Mapping[str, str]) -> bytes:
    """Return the body, inflated where it is compressed. Never more than the limit is held in memory.

    Args:
        request: the request.
        limits: the bounds of its body, compressed or not.
        headers: its headers, by their names in lower case.

    Raises:
        InvalidRequestError: the body is too large (413), did not arrive in time (408), or is compressed in an unknown
            way (415).
    """
    if _ENCODING in headers:
        body = await _read_as_sent(request, limits, headers)
        return await asyncio.to_thread(inflate, body, headers[_ENCODING], limits)
    return await _read_as_sent(request, limits, headers)


async def _read_as_sent(request: Request, limits: Limits, headers: Mapping[str, str]) -> bytes:
    if request.scope.get(ARRIVED):  # the usual case needs no timer
        message = await request.receive()
        check_size(len(message["body"]), limits)
        return bytes(message["body"])
    if _EXPECT in headers:  # whoever waits for leave to send the body is told before sending it
        length = headers.get("content-length", "")
        check_size(int(length) if length.isdecimal() and len(length) < _DIGITS else 0, limits)
    body = bytearray()
    await _read_chunks(request, limits, body.extend)
    return bytes(body)


async def _read_chunks(
    request: Request, limits: Limits, take: Callable[[bytes], None] | Callable[[bytes], Awaitable[None]]
) -> None:
    """Have `take` take a body as it arrives, within the bounds of every body."""
    size, chunks = 0, request.stream()
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for chunk in chunks:
                size += len(chunk)
                check_size(size, limits)
                if (taking := take(chunk)) is not None:
                    await taking
    except TimeoutError as error:
        problem = Problem("body", "did not arrive in time", f"a whole body within {limits.timeout_s:g} s", status=408)
        raise InvalidRequestError(problem) from error
    except InvalidRequestError:
        await _drain(chunks, size)
        raise


async def _drain(chunks: AsyncIterator[bytes], size: int) -> None:
    """Read the rest of a body and drop it, within bounds; `size` bytes of it have been read."""
    with suppress(TimeoutError):  # a slow sender: the response goes out without the rest being read
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in chunks:
                size += len(chunk)
                if size > _DRAIN_BYTES:
                    break
