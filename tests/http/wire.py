"""Requests to the HTTP surface and what comes back: what its tests share."""

import json
from typing import Any

import httpx

from deployments.http.alive import COMMENT
from deployments.http.asgi import build_asgi
from deployments.http.service import Service
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import Failed

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
MESSAGES: dict[str, Any] = CHAT | {"max_tokens": 64}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ENDPOINTS = [
    ("/v1/infer", {"text": "Hi"}),
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"prompt": "Hi"}),
    ("/v1/messages", MESSAGES),
    ("/v1/responses", {"input": "Hi"}),
]
BROKEN_OFF = Ended(Candidate(Tier.PRIMARY, "a"), 0.0, 1.0, Failed("boom"), from_character=0)


async def send(service: Service, path: str, body: Any = None, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(build_asgi(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        if body is None and "content" not in more:
            return await client.get(path, **more)
        return await client.post(path, **({"json": body} if body is not None else {}), **more)


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    """Name and data of each event."""
    return parse_events(response.text)


def parse_events(text: str) -> list[tuple[str, Any]]:
    """Name and data of each event of a stream; comments are none."""
    read = []
    for block in text.replace(COMMENT.decode(), "").strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        data = fields["data"]
        read.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return read
