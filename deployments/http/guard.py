"""Asks every request for its key, where the service has keys: whatever path it is for, unless the path is listed here.

    open       what says nothing of models or callers: health, readiness, the description of the endpoints
    admin      what shows or changes the service itself: a key with `admin: true`
    the rest   any valid key; who may reach which model is the router's to say

Every response to a key with limits, even a refusal, has headers with what is left: in the names of OpenAI's, and
Anthropic's for its API.
"""

from datetime import UTC, datetime
from math import floor
from time import time

from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.access.gate import Gate
from deployments.access.holder import HOLDER, Holder, questioner
from deployments.access.measure import Measure
from deployments.policy.problem import InvalidRequestError

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/health", "/version"})
_OPEN_FOLDER = "/static/"
_OF_ADMINS = ("/status", "/v1/fallbacks", "/admin/")
"""How the paths of administrators begin."""

_OF_ANTHROPIC = "/v1/messages"
_QUESTIONS = frozenset({"/tokenize", "/detokenize", "/v1/messages/count_tokens"})
"""What asks a tokenizer, and is counted apart."""

_TOLD = {Measure.REQUESTS: b"requests", Measure.TOKENS: b"tokens"}


async def let_through(app: ASGIApp, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
    """Have `app` answer a request that may be answered, within the rights of its key.

    Raises:
        InvalidRequestError: it has no valid key (401), its key is not an administrator's (403), or has nothing left
            (429).
        HTTPException: Starlette's router has no such path (404), or not by this method (405).
    """
    path = scope["path"]
    if path in OPEN_PATHS or path.startswith(_OPEN_FOLDER) or scope["method"] == "OPTIONS":
        await app(scope, receive, send)
        return
    holder = gate.authenticate(scope["headers"])
    token = HOLDER.set(holder)
    counted = questioner(holder) if path in _QUESTIONS else holder
    limited = not counted.limits.keys().isdisjoint(_TOLD)
    try:
        if path.startswith(_OF_ADMINS):
            gate.require_admin()
        elif scope["method"] == "POST":
            gate.refuse_spent(counted)
        await app(scope, receive, _telling(send, gate, counted, path) if limited else send)
    except (InvalidRequestError, HTTPException) as error:
        if not limited:
            raise
        left = {name.decode(): value.decode() for name, value in limit_headers(gate, counted, path)}
        if isinstance(error, HTTPException):  # no such path, or not by this method
            raise HTTPException(error.status_code, error.detail, {**(error.headers or {}), **left}) from error
        raise InvalidRequestError(replace(error.problem, headers={**error.problem.headers, **left})) from error
    finally:
        HOLDER.reset(token)


def _telling(send: Send, gate: Gate, holder: Holder, path: str) -> Send:
    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *limit_headers(gate, holder, path)]
        await send(message)

    return send_with_limits


def limit_headers(gate: Gate, holder: Holder, path: str) -> list[tuple[bytes, bytes]]:
    """Return what is left for a key, as the headers that clients of the API at `path` know."""
    headers = []
    for measure, name in _TOLD.items():
        if (limit := holder.limits.get(measure)) is None:
            continue
        left, full_s = gate.left(holder, measure)
        is_anthropics = path.startswith(_OF_ANTHROPIC)
        told = {
            b"limit": f"{limit:.0f}",
            b"remaining": f"{floor(left)}",
            b"reset": _moment(full_s) if is_anthropics else _duration(full_s),
        }
        for what, value in told.items():
            parts = (b"anthropic-ratelimit", name, what) if is_anthropics else (b"x-ratelimit", what, name)
            headers.append((b"-".join(parts), value.encode()))
    return headers


def _moment(seconds: float) -> str:
    """Return the moment in so many seconds, as Anthropic writes it (RFC 3339)."""
    return datetime.fromtimestamp(time() + seconds, UTC).isoformat("T", "seconds").replace("+00:00", "Z")


def _duration(seconds: float) -> str:
    """Return a time as OpenAI writes it, such as `1m12s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
