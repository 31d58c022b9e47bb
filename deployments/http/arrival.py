"""A request's body on its way in: bounded in size and time, and not kept where it is turned away."""

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
"""In a scope: the headers as they were sent, where Serve is handed others (`protocol`)."""
ARRIVED = "neverblank.arrived"
"""In a scope: whether the whole body was there when the request was begun."""

_DRAIN_BYTES = 64 << 20
_DRAIN_S = 5.0
# Neither is found inside a JSON text, where quotation marks are escaped.
_STREAM_WANTED = re.compile(rb'"stream"\s*:\s*true')
_FORM_DEMANDED = re.compile(rb'"json_(?:object|schema)"|"tool_choice"\s*:\s*(?:"required"|\{)')
_OVERLAP = 64


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was seen of a body that was not read: a stream was asked for, and an answer in a form."""

    stream: bool
    form: bool


def read_headers(scope: Scope) -> dict[str, str]:
    """All headers at once, by their names in lower case: Starlette's own mapping searches for each one."""
    sent = scope.get(SENT) or scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}


def read_request_id(headers: Mapping[str, str]) -> str:
    """The id in `x-request-id`: Serve puts one there where the caller has not, and repeats it in the response."""
    return headers.get(REQUEST_ID_HEADER, "") or uuid4().hex


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body, of which no more than the limit is ever held.

    Raises:
        InvalidRequestError: it is too large (413), or did not arrive in time (408).
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
    """Read on and forget, within bounds: most clients read no answer before they have sent everything."""
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
    except TimeoutError:  # a slow caller: the answer goes out without the rest
        return Glimpse(stream, form)
    return Glimpse(stream, form)
