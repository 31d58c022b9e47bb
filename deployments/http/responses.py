"""Answers as responses: the headers that tell who has answered, and the framing of streams."""

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
    """What an answer and the head of a stream have in common."""

    @property
    def served_by(self) -> Tier:
        """Who has answered."""
        ...

    @property
    def degraded(self) -> bool:
        """Somebody else than the one first asked."""
        ...

    @property
    def attempts(self) -> Iterable[Ended]:
        """The attempts that have ended."""
        ...

    @property
    def retry_after_s(self) -> float:
        """When to ask again; 0 where that is not said."""
        ...


def headers_of(told: Provenance) -> dict[str, str]:
    """`x-neverblank-served-by`, `-degraded` and `-attempts`; `retry-after` in whole seconds where there is one."""
    trace = ", ".join(
        f"{ended.candidate.tier.value}/{quote(ended.candidate.model)}={ended.outcome.name}" for ended in told.attempts
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
    """A JSON response; `body` may hold anything a model can return."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


class Closable(Protocol):
    """What has to be closed when a response is over."""

    async def aclose(self) -> None:
        """Stop; closing twice is closing once."""
        ...


class _ClosingResponse(StreamingResponse):
    """Closes what it is made from, even where not a byte of it was sent: the client may have gone by then."""

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
    """A stream of server-sent events, made from `made_from`; what is not read by the client is not made."""
    # Proxies that buffer would turn a stream into one late answer.
    unbuffered = {**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
    return _ClosingResponse(made_from, events, status, unbuffered, media_type=EVENT_STREAM)


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """One server-sent event; JSON has no line breaks in it."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (head, orjson.dumps(data))
