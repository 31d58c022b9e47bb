"""One request as bytes to the application, and every byte that comes back with its time.

It does what `deployments.http.protocol` does between uvicorn and the application: it says whether the whole body was
there at once, and cancels the answering where the caller has gone.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp

from deployments.http.arrival import ARRIVED, SENT
from tests.simulation.asking import Ask


@dataclass(slots=True)
class Exchange:
    """A request and its response so far.

    Attributes:
        ask: the request.
        started: when the application was handed it.
        arrived: when its last byte was.
        status: of the response; 0 before there is one.
        headers: of the response.
        chunks: its bytes, with the times at which they came.
        starts: how often a response was begun.
        ended: when its end came.
        left: when the caller went away.
        raised: what the application raised.
    """

    ask: Ask
    started: float
    arrived: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    starts: int = 0
    ended: float | None = None
    left: float | None = None
    raised: BaseException | None = None
    behind: int = 0

    @property
    def body(self) -> bytes:
        """All that has come."""
        return b"".join(chunk for _, chunk in self.chunks)

    @property
    def is_whole(self) -> bool:
        """It came to its end while the caller was there."""
        return self.ended is not None and self.left is None


async def exchange(app: ASGIApp, ask: Ask) -> Exchange:
    """Send `ask`, and read the response to its end, or leave when `ask` says so."""
    loop = asyncio.get_running_loop()
    done = Exchange(ask, loop.time())
    answering = loop.create_task(_answer(app, done, loop))
    if ask.leaves_after_s is None:
        await asyncio.wait([answering])
    else:
        await asyncio.wait([answering], timeout=ask.leaves_after_s)
        if not answering.done():
            done.left = loop.time()
            answering.cancel()
            await asyncio.wait([answering])
    if not answering.cancelled():
        done.raised = answering.exception()
    return done


async def _answer(app: ASGIApp, done: Exchange, loop: asyncio.AbstractEventLoop) -> None:
    ask = done.ask
    pieces = list(ask.pieces)
    headers = list(ask.headers)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        SENT: headers,
        ARRIVED: len(pieces) == 1,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    for_ever = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not pieces:
            await for_ever.wait()
        pause_s, piece = pieces.pop(0)
        if pause_s:
            await asyncio.sleep(pause_s)
        if not pieces:
            done.arrived = loop.time()
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        if done.ended is not None:
            done.behind += 1
        if message["type"] == "http.response.start":
            done.starts += 1
            done.status = message["status"]
            done.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            return
        if message["body"]:
            done.chunks.append((loop.time(), bytes(message["body"])))
        if not message.get("more_body", False):
            done.ended = loop.time()
        elif ask.reads_every_s:
            await asyncio.sleep(ask.reads_every_s)

    await app(scope, receive, send)
