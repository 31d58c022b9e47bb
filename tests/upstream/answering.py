"""Responses out of bytes, without a socket: what a reader makes of them, on virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deployments.policy.outcome import StreamItem
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.reading import READING_ERRORS, Body, read_items
from deployments.upstream.stream import ChunkReader
from tests.fakes import a_request
from tests.simulation.network import Chunk, Response
from tests.simulation.record import Call

SPEC = RemoteSpec(base_url="http://upstream.example/v1", model="m", max_event_bytes=4096, max_answer_bytes=1 << 20)
CUT = aiohttp.ClientPayloadError("cut")


@dataclass(slots=True)
class Reading:
    """What was read of a response.

    Attributes:
        items: what it gave.
        chunks: the reader, behind its last item.
        seconds: the time that it took.
        error: what was raised at its end.
    """

    items: list[StreamItem] = field(default_factory=list)
    chunks: ChunkReader = field(default_factory=ChunkReader)
    seconds: float = 0.0
    error: BaseException | None = None

    @property
    def text(self) -> str:
        return "".join(item for item in self.items if isinstance(item, str))

    @property
    def end(self) -> StreamItem | None:
        """The last item; `None` where there is none."""
        return self.items[-1] if self.items else None


async def read(
    parts: Sequence[bytes | Chunk | BaseException], content_type: str = "text/event-stream", encoding: str = ""
) -> Reading:
    """Read the parts of a response."""
    call = Call(1, "m", "q1q", streamed=True, prefix="", started=0.0)
    chunks = [part if isinstance(part, Chunk) else Chunk(part) for part in parts]
    headers = {"content-encoding": encoding} if encoding else {}
    response: Any = Response(200, content_type, headers, chunks, call)
    reading = Reading()
    started = asyncio.get_running_loop().time()
    try:
        async for item in read_items(Body(response, SPEC.max_answer_bytes), SPEC, a_request(), reading.chunks):
            reading.items.append(item)
    except READING_ERRORS as error:
        reading.error = error
    reading.seconds = asyncio.get_running_loop().time() - started
    return reading
