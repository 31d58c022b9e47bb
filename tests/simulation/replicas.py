"""Scripted replicas, whose models have lives."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from typing import Any

from deployments.execution.attempt import Begun, begin
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Finished, Outcome
from deployments.request import InferenceRequest
from tests.fakes import Play, ScriptedClient
from tests.simulation.record import Call, Record
from tests.simulation.script import Life, ScriptedError, draw_beats, draw_play
from tests.streamers import Script, ScriptedStreamer


class Replicas:
    """Stands for the replicas of one deployment; what they do is drawn from the life of their model."""

    def __init__(self, name: str, life: Life, record: Record) -> None:
        self.name = name
        self.life = life
        self.record = record
        self.described: dict[str, Any] | None = {"state": "ready", "reason": ""}
        self.runs = asyncio.Event()
        self.runs.set()
        self.dead: set[str] = set()

    def lost(self, actors: Collection[str]) -> int:
        return len(self.dead & set(actors))

    def unresponsive(self, actors: Collection[str]) -> int:
        return 0

    def member(self, name: str) -> "Replicas":
        return self

    async def describe(self) -> dict[str, Any]:
        """Waits while none runs, as a call to Serve does."""
        await self.runs.wait()
        if self.described is None:
            raise ScriptedError("the replica has gone")
        return dict(self.described)

    async def expect(self, router: str, requests: float) -> None:
        self.record.note("demand", requests)
        if self.life.rng.random() < 0.02:
            raise ScriptedError("nobody to tell")

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:
        call = self.record.begin(self.name, _text_of(request), streamed=request.stream, prefix=request.prefix)
        now = asyncio.get_running_loop().time()
        if request.stream:
            beats = draw_beats(self.life, now, call.number, request.response_format)
            return await begin(_watched(beats, request, call))
        play = draw_play(self.life, now, call.number, request.response_format)
        return await _played(play, request, budget_s, call)


async def _played(play: Play, request: InferenceRequest, budget_s: float, call: Call) -> Outcome:
    try:
        outcome = await ScriptedClient([play]).start(request, budget_s)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        call.end("cancelled" if task is not None and task.cancelling() else "failed")
        raise
    except ScriptedError:
        call.end("failed", raised=True)
        raise
    call.end(outcome)
    return outcome


async def _watched(script: Script, request: InferenceRequest, call: Call) -> Any:
    """The items of a stream, whose end is written down."""
    try:
        async with aclosing(ScriptedStreamer([script])._play(request)) as items:
            async for item in items:
                if isinstance(item, Finished) and not item.tool_calls and is_blank("".join(call.texts)):
                    call.end("blank")
                call.gives(item)
                yield item
        call.end("failed")
    except ScriptedError:
        call.end("failed", raised=True)
        raise
    finally:
        call.end("closed")


def _text_of(request: InferenceRequest) -> str:
    return request.text or "".join(message["content"] for message in request.messages)
