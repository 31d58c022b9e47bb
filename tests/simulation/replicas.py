"""Scripted replicas, whose models have lives."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deployments.execution.attempt import Begun, begin
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Failed, Finished, Outcome
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
        self._in_flight: list[_InFlight] = []

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

    def die(self) -> None:
        """End the process: every call that is in flight is cut."""
        for each in self._in_flight:
            if each.call.ended is None:
                each.cut()
        self._in_flight.clear()

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:
        call = self.record.begin(self.name, _text_of(request), streamed=request.stream, prefix=request.prefix)
        now = asyncio.get_running_loop().time()
        flight = _InFlight(call, alone)
        self._in_flight.append(flight)
        if request.stream:
            beats = draw_beats(self.life, now, call.number, request.response_format)
            return await begin(_watched(beats, request, flight))
        play = draw_play(self.life, now, call.number, request.response_format)
        return await _played(play, request, budget_s, flight)


@dataclass(slots=True)
class _InFlight:
    """A call that a replica has begun.

    Attributes:
        call: what is known of it.
        alone: tells whether no other replica of the model could take a retry.
        reading: the task that waits for it now; `None` while nobody does.
        is_cut: its replica has died.
    """

    call: Call
    alone: Callable[[], bool] | None
    reading: asyncio.Task[Any] | None = None
    is_cut: bool = False

    def cut(self) -> None:
        """Its replica has died. No task is made for that: the turns of the loop stay what they were."""
        self.is_cut = True
        if self.reading is not None:
            self.reading.cancel()

    async def wait(self, awaited: Awaitable[Any]) -> Any:
        """Wait for what the replica gives; its end, where the replica dies before it has given it."""
        if self.is_cut:
            return self._end()
        self.reading = asyncio.current_task()
        try:
            return await awaited
        except asyncio.CancelledError:
            if not self.is_cut or self.reading is None or self.reading.uncancel():
                raise
            return self._end()
        finally:
            self.reading = None

    def _end(self) -> Failed:
        alone = self.alone is not None and self.alone()
        end = Failed(f"c{self.call.number}c: its replica died", transient=not alone, soon=alone)
        self.call.died = True
        self.call.end(end)
        return end


async def _played(play: Play, request: InferenceRequest, budget_s: float, flight: _InFlight) -> Outcome:
    call = flight.call
    try:
        outcome: Outcome = await flight.wait(ScriptedClient([play]).start(request, budget_s))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        call.end("cancelled" if task is not None and task.cancelling() else "failed")
        raise
    except ScriptedError:
        call.end("failed", raised=True)
        raise
    call.end(outcome)
    return outcome


async def _watched(script: Script, request: InferenceRequest, flight: _InFlight) -> Any:
    """The items of a stream, whose end is written down."""
    call = flight.call
    try:
        async with aclosing(ScriptedStreamer([script])._play(request)) as items:
            while (item := await flight.wait(anext(items, None))) is not None:
                if call.died:
                    yield item
                    return
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
