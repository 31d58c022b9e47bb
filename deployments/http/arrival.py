"""The body of a request on its way in: bounded in size and time, and dropped where the request is turned away."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

from starlette.requests import Request
from starlette.types import Scope

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, check_size

REQUEST_ID_HEADER = "x-request-id"

SENT = "neverblank.sent"
"""Key of a scope: the headers as they were sent, where `protocol` hands others to Serve."""
ARRIVED = "neverblank.arrived"
"""Key of a scope: whether the whole body was there when the request was begun."""

_DRAIN_BYTES = 64 << 20
_DRAIN_S = 5.0
# Neither pattern matches inside a JSON string, where quotation marks are escaped.
_STREAM_WANTED = re.compile(rb'"stream"\s*:\s*true')
_FORM_DEMANDED = re.compile(rb'"json_(?:object|schema)"|"tool_choice"\s*:\s*(?:"required"|\{)')
_OVERLAP = 64


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Facts about a body that was skimmed, not parsed: whether it asks for a stream, and whether it demands a form."""

    stream: bool
    form: bool


def read_headers(scope: Scope) -> dict[str, str]:
    """Return all headers by their names in lower case. Starlette's own mapping searches the list at each access."""
    sent = scope.get(SENT) or scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}


def read_request_id(headers: Mapping[str, str]) -> str:
    """Return the id in `x-request-id`, or a new one. Serve sets the header where the caller does not, and echoes it."""
    return headers.get(REQUEST_ID_HEADER, "") or uuid4().hex


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body. Never more than the limit is held in memory.

    Raises:
        InvalidRequestError: the body is too large (413), or did not arrive in time (408).
    """
    if request.scope.get(ARRIVED):  # the usual case needs no timer
        message = await request.receive()
        check_size(len(message["body"]), limits)
        return bytes(message["body"])
    body = bytearray()
    chunks = request.stream()
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for chunk in chunks:
                body += chunk
                check_size(len(body), limits)
    except TimeoutError as error:
        problem = Problem("body", "did not arrive in time", f"a whole body within {limits.timeout_s:g} s", status=408)
        raise InvalidRequestError(problem) from error
    except InvalidRequestError:
        await drain(chunks, len(body))
        raise
    return bytes(body)


async def drain(chunks: AsyncIterator[bytes], size: int = 0) -> Glimpse:
    """Read a body and drop it, within bounds, as most clients read no response before they have sent everything.

    Args:
        chunks: the rest of the body.
        size: the bytes that have been read before.
    """
    stream, form, last = False, False, b""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in chunks:
                seen = last + chunk
                stream = stream or _STREAM_WANTED.search(seen) is not None
                form = form or _FORM_DEMANDED.search(seen) is not None
                last = seen[-_OVERLAP:]
                size += len(chunk)
                if size > _DRAIN_BYTES:
                    break
    except TimeoutError:  # a slow sender: the response goes out without the rest being read
        return Glimpse(stream, form)
    return Glimpse(stream, form)
