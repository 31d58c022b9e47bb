"""Answers as responses: the headers with the provenance of an answer, and the framing of streams."""

from collections.abc import AsyncIterator, Iterable, Mapping
from math import ceil
from typing import Any, Protocol
from urllib.parse import quote

import orjson
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.policy.attempt import Ended, Tier

EVENT_STREAM = "text/event-stream"


class Provenance(Protocol):
    """The facts that an answer and the head of a stream have in common."""

    @property
    def served_by(self) -> Tier:
        """The tier that answered."""
        ...

    @property
    def degraded(self) -> bool:
        """Whether another model than the first candidate answered."""
        ...

    @property
    def attempts(self) -> Iterable[Ended]:
        """The attempts that have ended."""
        ...

    @property
    def retry_after_s(self) -> float:
        """Seconds after which to ask again; 0 where no time is given."""
        ...


def headers_of(told: Provenance) -> dict[str, str]:
    """Return `x-neverblank-served-by`, `-degraded`, `-attempts`, and `retry-after` in whole seconds if there is one."""
    trace = ", ".join(
        f"{ended.candidate.tier.value}/{quote(ended.candidate.model)}={ended.name}" for ended in told.attempts
    )
    headers = {
        "x-neverblank-served-by": told.served_by.value,
        "x-neverblank-degraded": "true" if told.degraded else "false",
        "x-neverblank-attempts": trace,
    }
    if told.retry_after_s > 0:
        headers["retry-after"] = str(ceil(told.retry_after_s))
    return headers


def json_response(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response; `body` may hold anything that a model can return."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


class Closable(Protocol):
    """The source of a streamed response, which has to be closed when the response is over."""

    async def aclose(self) -> None:
        """Stop the source; a second call does nothing."""
        ...


class _ClosingResponse(StreamingResponse):
    """Closes its source at the end, even where no byte was sent because the caller had disconnected by then."""

    def __init__(self, made_from: Closable, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made_from = made_from

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._made_from.aclose()


def stream_response(
    events: AsyncIterator[bytes], status: int, headers: Mapping[str, str], made_from: Closable
) -> StreamingResponse:
    """Return a response of server-sent events from `made_from`, which is read no faster than the caller reads."""
    # A proxy that buffers would turn the stream into one late answer.
    unbuffered = {**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
    return _ClosingResponse(made_from, events, status, unbuffered, media_type=EVENT_STREAM)


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Return one server-sent event. One `data` line is enough, as the JSON has no line breaks."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (head, orjson.dumps(data))
