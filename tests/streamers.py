"""The fake of streaming model clients, maintained like code: one scripted streamer on the running loop's clock."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from deployments.execution.attempt import Begun, begin
from deployments.policy.outcome import Failed, Finished, Outcome, StreamItem
from deployments.request import InferenceRequest

HANGS = math.inf


@dataclass(frozen=True, slots=True)
class Beat:
    """One thing a stream does, `after` seconds: gives an item, or raises."""

    item: StreamItem | BaseException
    after: float = 0.0


Script = Sequence[Beat]
"""What one stream does; one that has no end in it is cut."""


def says(*pieces: str, every_s: float = 0.0) -> list[Beat]:
    return [Beat(piece, every_s) for piece in pieces]


def ends(reason: str = "stop") -> list[Beat]:
    return [Beat(Finished(reason))]


def breaks(transient: bool = True, after: float = 0.0) -> list[Beat]:  # noqa: FBT001, FBT002 - reads as a sentence
    return [Beat(Failed("it broke off", transient=transient), after)]


def hangs() -> list[Beat]:
    return [Beat("never", HANGS)]


@dataclass(slots=True)
class Streaming:
    """A stream a `ScriptedStreamer` has been asked for, and what it has given so far."""

    request: InferenceRequest
    started: float
    given: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def text(self) -> str:
        return "".join(self.given)


@dataclass(slots=True)
class ScriptedStreamer:
    """A `ModelClient` that plays one script a stream, the last one again and again."""

    scripts: list[Script]
    streams: list[Streaming] = field(default_factory=list)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Play the next script."""
        return await begin(self._play(request))

    async def _play(self, request: InferenceRequest) -> AsyncGenerator[StreamItem, None]:
        script = self.scripts[min(len(self.streams), len(self.scripts) - 1)]
        streaming = Streaming(request, asyncio.get_running_loop().time())
        self.streams.append(streaming)
        try:
            for beat in script:
                await (asyncio.Event().wait() if math.isinf(beat.after) else asyncio.sleep(beat.after))
                if isinstance(beat.item, BaseException):
                    raise beat.item
                if isinstance(beat.item, str):
                    streaming.given.append(beat.item)
                yield beat.item
        finally:
            streaming.closed = True


def streams(*scripts: Script) -> ScriptedStreamer:
    return ScriptedStreamer(list(scripts))
