"""The running service over HTTP, for the commands that ask it something; with the key in `NEVERBLANK_KEY`, if any."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

_URL_VARIABLE = "NEVERBLANK_URL"
KEY_VARIABLE = "NEVERBLANK_KEY"
"""The environment variable with the key that is sent."""
DEFAULT_URL = "http://127.0.0.1:8000"
"""Where a service listens unless its config says otherwise."""

_TOLD_S = 30.0
"""Seconds in which a service tells what it knows, or does what it is told to. An answer has a deadline of its own."""

LONGEST_ANSWER = 256 << 20
"""Bytes of a response that are read; those of vectors are the largest ones."""

_NO_HEADERS: Mapping[str, str] = {}


class UnreachableError(Exception):
    """No service answers at the address."""

    def __init__(self, url: str, error: BaseException) -> None:
        why = str(error) or "nothing came in time"
        super().__init__(
            f"no service answers at {url} ({why}); start one with `neverblank serve`, or name it with --url"
        )


class AnswerTooLargeError(Exception):
    """A response is larger than what is read of one."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: the response is larger than {LONGEST_ANSWER} bytes, and is not read on")


class RefusedError(Exception):
    """The service does not tell that now, and says why."""

    def __init__(self, path: str, body: dict[str, Any], hint: str = "") -> None:
        super().__init__(f"{path}: {_explained(body)}{hint}")


class NotAllowedError(RefusedError):
    """The service does not answer that without a key, or with this one."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        super().__init__(path, body, f"; set {KEY_VARIABLE}")


def _explained(body: dict[str, Any]) -> str:
    """Return what an error object says: the native API's, or that of OpenAI's API, which has all in one sentence."""
    error = body.get("error")
    if not isinstance(error, dict) or "message" not in error:
        return "it gives no reason"
    if "field" not in error:
        return str(error["message"])
    return f"{error['field']} {error['message']} (accepted: {error.get('accepted', '')})"


def default_url() -> str:
    """The address of the service: `NEVERBLANK_URL`, else port 8000 of this machine."""
    return os.environ.get(_URL_VARIABLE, DEFAULT_URL)


async def fetch_json(url: str, path: str) -> dict[str, Any]:
    """The JSON that `GET` gives at `path`.

    Raises:
        UnreachableError: nobody answers.
        AnswerTooLargeError: the response is larger than `LONGEST_ANSWER`.
        NotAllowedError: it needs a key, or one of an administrator.
        RefusedError: too many ask the service that already, or it has made a mistake.
    """
    async with _session(url, _TOLD_S) as session, session.get(path) as response:
        body = await _read_json(response)
        if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise NotAllowedError(path, body)
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RefusedError(path, body)
        return body


async def request_answer(url: str, body: dict[str, Any], headers: Mapping[str, str] = _NO_HEADERS) -> dict[str, Any]:
    """The answer to a request, whatever its status.

    Raises:
        UnreachableError: nobody answers.
        AnswerTooLargeError: the response is larger than `LONGEST_ANSWER`.
    """
    async with _session(url) as session, session.post("/v1/infer", json=body, headers=headers) as response:
        return await _read_json(response)


async def post_json(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON that `POST` gives at `path`, whatever its status.

    Raises:
        UnreachableError: nobody answers.
        AnswerTooLargeError: the response is larger than `LONGEST_ANSWER`.
    """
    async with _session(url, _TOLD_S) as session, session.post(path, json=body) as response:
        return await _read_json(response)


async def stream_answer(
    url: str, body: dict[str, Any], headers: Mapping[str, str] = _NO_HEADERS
) -> AsyncIterator[dict[str, Any]]:
    """The pieces of an answer, and last the whole answer, which is the item with `result`.

    Raises:
        UnreachableError: nobody answers.
        AnswerTooLargeError: the response is larger than `LONGEST_ANSWER`.
    """
    streamed = body | {"stream": True}
    async with _session(url) as session, session.post("/v1/infer", json=streamed, headers=headers) as response:
        if response.content_type == "application/json":  # the request was refused
            yield await _read_json(response)
            return
        async for line in _lines(response):
            if line.startswith(b"data: "):
                yield json.loads(line[len(b"data: ") :])


async def _read_json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    whole = b"".join([piece async for piece in _pieces(response)])
    try:
        told: dict[str, Any] = json.loads(whole)
    except ValueError as error:  # it is another service
        raise aiohttp.ClientPayloadError("what answers there is no JSON") from error
    return told


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Give the lines of a response as they come. Each may be as long as the response: aiohttp's own end at 2 MiB."""
    begun: list[bytes] = []
    async for piece in _pieces(response):
        first, *others = piece.split(b"\n")
        begun.append(first)
        for other in others:
            yield b"".join(begun)
            begun = [other]
    yield b"".join(begun)


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    left = LONGEST_ANSWER
    async for piece in response.content.iter_any():
        left -= len(piece)
        if left < 0:
            raise AnswerTooLargeError(response.url.path)
        yield piece


@asynccontextmanager
async def _session(url: str, within_s: float | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=within_s, sock_connect=5)
    key = os.environ.get(KEY_VARIABLE)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with aiohttp.ClientSession(url, timeout=timeout, read_bufsize=1 << 20, headers=headers) as session:
            yield session
    except (aiohttp.ClientError, OSError) as error:
        raise UnreachableError(url, error) from error
