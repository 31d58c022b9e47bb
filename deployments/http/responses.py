"""Answers as responses: the headers with the provenance of an answer, and the framing of streams."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

import orjson
from starlette.responses import Response

from deployments.http.service import Service
from deployments.policy.attempt import Began, Candidate, Ended, Tier
from deployments.policy.stream_events import PENDING

EVENT_STREAM = "text/event-stream"

UNAVAILABLE = 503
"""The status of an answer with an error in the place of its result, whatever the policy says of the last resort."""

_SERVED_BY, _DEGRADED = "x-neverblank-served-by", "x-neverblank-degraded"
_ATTEMPTS, _DROPPED = "x-neverblank-attempts", "x-neverblank-dropped"
_ANSWERING = "answering"
_MOST_CHARACTERS = 1024
"""Of a list in a header: proxies refuse responses with long heads."""

_PLACE = uuid4().hex
"""The place of a list in a body; nobody who makes fields knows it."""

_AT_ONCE = 1 << 15
"""Numbers that are written on the event loop, which takes a few milliseconds."""

UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""A proxy that buffers would turn a stream into one late answer."""


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
    def attempts(self) -> Iterable[Ended | Began]:
        """The attempts that are known."""
        ...

    @property
    def dropped(self) -> Sequence[str]:
        """What the request asked for and the model that answered could not do."""
        ...

    @property
    def retry_after_s(self) -> float:
        """Seconds after which to ask again; 0 where no time is given."""
        ...


def headers_of(told: Provenance) -> dict[str, str]:
    """Return `x-neverblank-served-by`, `-degraded` and `-attempts`; `-dropped` and `retry-after` if there is any.

    The attempt that goes on with the stream is told as `answering`. `retry-after` is in whole seconds.
    """
    trace = [_line(made.candidate, made.name if isinstance(made, Ended) else _ANSWERING) for made in told.attempts]
    headers = {
        _SERVED_BY: str(told.served_by),
        _DEGRADED: "true" if told.degraded else "false",
        _ATTEMPTS: _bounded(trace),
    }
    if told.dropped:
        headers[_DROPPED] = _bounded([quote(name, safe="/:") for name in told.dropped])
    if told.retry_after_s > 0:
        headers["retry-after"] = str(ceil(told.retry_after_s))
    return headers


@lru_cache(maxsize=1024)
def _line(candidate: Candidate, outcome: str) -> str:
    """Return an attempt on `candidate`, as a header tells it. Cached: the same few come with every answer."""
    return f"{candidate.tier}/{quote(candidate.model)}={outcome}"


def status_of(told: Provenance, service: Service) -> int:
    """Return the HTTP status of an answer: 200, or the one that the policy has for the last resort."""
    return service.last_resort_status if told.served_by is Tier.LAST_RESORT else 200


def _bounded(names: Sequence[str]) -> str:
    """Return `names` as the value of a header; those beyond `_MOST_CHARACTERS` as their number, `+N`."""
    told: list[str] = []
    left = _MOST_CHARACTERS
    for name in names:
        left -= len(name) + len(", ")
        if left < 0:
            return ", ".join((*told, f"+{len(names) - len(told)}"))
        told.append(name)
    return ", ".join(told)


_OF_STREAMS = tuple(
    (name.encode(), value.encode())
    for name, value in {"content-type": f"{EVENT_STREAM}; charset=utf-8", **UNBUFFERED}.items()
)


def stream_headers(told: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a stream, with those that are `told` of its answer, as ASGI takes them."""
    return [*_OF_STREAMS, *((name.encode(), value.encode()) for name, value in told.items())]


def pending_headers() -> list[tuple[bytes, bytes]]:
    """Return the headers of a stream whose head is sent before anybody has answered, as ASGI takes them."""
    return stream_headers(dict.fromkeys((_SERVED_BY, _DEGRADED, _ATTEMPTS), PENDING))


def json_response(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response; `body` may hold anything that a model can return."""
    return _JsonResponse(orjson.dumps(body), status, headers)


class _JsonResponse(Response):
    """A response whose type and length are known, so that its headers need not be searched for them."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        told = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]
        for name, value in (headers or {}).items():
            told.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        self.raw_headers = told


def are_many(vectors: Any) -> bool:
    """Return whether `vectors` are a list of so many numbers that they are written in a thread."""
    return isinstance(vectors, list) and sum(len(each) for each in vectors if isinstance(each, list)) > _AT_ONCE


def json_in_parts(body: Mapping[str, Any], key: str) -> bytes:
    """Return the JSON of `body`, whose values in the field `key` are written one at a time.

    The encoder lets no other thread run before it is through with what it was given, and a list may be 30 MB of it.
    """
    before, _, behind = orjson.dumps({**body, key: _PLACE}).partition(orjson.dumps(_PLACE))
    return b"%s[%s]%s" % (before, b",".join(map(orjson.dumps, body[key])), behind)


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Return one server-sent event. One `data` line is enough, as the JSON has no line breaks."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (head, orjson.dumps(data))
