"""What providers really send: one good answer in each of their dialects, byte by byte.

`docs/providers.md` has a row for each; the sources are there. Every dialect is a scenario of the faulty upstream, too,
and is sent as it is whether or not a stream was asked for: what is announced, or was asked for, is not relied on.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.exchange import TEXT, Exchange
from tests.upstream.scenarios import Scenario
from tests.upstream.voices import USAGE

BEGUN, REST = TEXT[:15], TEXT[15:]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect, and what is made of it.

    Attributes:
        wire: the bytes, in the pieces in which they are sent.
        says: the text of the answer.
        calls: the names and arguments of its tool calls.
        ends: its finish reason; or the name of the failure that it is.
        beside: fields beside the message.
        skipped: the number of pieces that are left out.
        content_type: the type that the head announces.
        encoding: the encoding that the head announces; empty for none.
        stays_open: the connection is not closed behind the answer.
        status: the status of the response.
    """

    wire: tuple[bytes, ...]
    says: str = TEXT
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    ends: str = "stop"
    beside: Mapping[str, Any] = field(default_factory=dict)
    skipped: int = 0
    content_type: str = "text/event-stream"
    encoding: str = ""
    stays_open: bool = False
    status: int = 200


def event(data: Any, end: str = "\n\n") -> bytes:
    return f"data: {json.dumps(data)}{end}".encode()


def chunk(delta: Any, finish: Any = None, **more: Any) -> bytes:
    """One event with one choice; `more` are fields of the choice."""
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice(delta, finish, **more)]})


def choice(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, **more}


def completion(message: Any, finish: Any = "stop", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    """A whole completion; `more` are fields of the choice."""
    chosen = {"index": 0, "message": message, "finish_reason": finish, **more}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [chosen], "usage": usage}


def whole(message: Any, finish: Any = "stop", **more: Any) -> tuple[bytes, ...]:
    return (json.dumps(completion(message, finish, **more)).encode(),)


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """A tool call; `more` are its other fields."""
    return {**more, "function": {"name": name, "arguments": arguments}}


DONE = b"data: [DONE]\n\n"
END = (chunk({}, "stop"), event({"choices": [], "usage": USAGE}), DONE)
SAID = (chunk({"role": "assistant", "content": ""}), chunk({"content": BEGUN}), chunk({"content": REST}))
PLAIN = (*SAID, *END)

LOOK, LISTEN = ("look", {"where": "here"}), ("listen", {"to": "it"})
HERE, IT = json.dumps(LOOK[1]), json.dumps(LISTEN[1])
CALLED = (chunk({}, "tool_calls"), DONE)


def calls(*deltas: Any, end: tuple[bytes, ...] = CALLED) -> tuple[bytes, ...]:
    """Deltas with tool calls; a list is one delta with several."""
    return (*(chunk({"tool_calls": each if isinstance(each, list) else [each]}) for each in deltas), *end)


def play(dialect: Dialect) -> Scenario:
    """The scenario that sends `dialect`."""

    async def send(exchange: Exchange) -> None:
        encoding = {"content_encoding": dialect.encoding} if dialect.encoding else {}
        await exchange.head(dialect.status, dialect.content_type, connection="close", **encoding)
        for piece in dialect.wire:
            await exchange.raw(piece)
            await asyncio.sleep(0)
        if dialect.stays_open:
            await asyncio.sleep(3600)
        exchange.writer.close()

    return send


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def raw_deflated(data: bytes) -> bytes:
    """Deflate without the header of zlib."""
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)
