"""The fakes of the tests, maintained like code: one scripted model client, and the loop on virtual time.

Every time in here is the running event loop's: on a looptime loop (`run_virtually`, or `pytest.mark.looptime`
on an async test) a script of minutes takes no time at all.
"""

import asyncio
import functools
import math
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import looptime
from msgspec.structs import replace

from deployments.execution.attempt import Begun, ModelClient
from deployments.policy.outcome import (
    Answered,
    Blank,
    Cancelled,
    Failed,
    Finished,
    Outcome,
    Refused,
    StreamItem,
    StreamPart,
)
from deployments.request import InferenceRequest, Parameters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Play:
    """What one call does: `then` comes `after` seconds; an exception is raised, an outcome returned."""

    then: Outcome | BaseException
    after: float = 0.0


def answers(result: Any = "fine", after: float = 0.0) -> Play:
    return Play(Answered(result), after)


def returns_blank(after: float = 0.0) -> Play:
    return Play(Blank(), after)


def fails(after: float = 0.0) -> Play:
    return Play(Failed("it broke"), after)


def refuses(after: float = 0.0) -> Play:
    return Play(Refused("queue full"), after)


def raises(error: BaseException, after: float = 0.0) -> Play:
    return Play(error, after)


def hangs() -> Play:
    return Play(Cancelled("never reached"), math.inf)


@dataclass(slots=True)
class Call:
    """A call a `ScriptedClient` has had; `ended` and `cancelled` are times on the loop's clock."""

    request: InferenceRequest
    budget_s: float
    started: float
    ended: float | None = None
    cancelled: float | None = None


@dataclass(slots=True)
class ScriptedClient:
    """A `ModelClient` that plays one `Play` a call, the last one again and again.

    Attributes:
        script: what the calls do, in order.
        lingers_s: seconds it takes to stop after it has been cancelled.
        dies_with: raised when it is cancelled, instead of the cancellation.
        calls: the calls so far.
    """

    script: list[Play]
    lingers_s: float = 0.0
    dies_with: BaseException | None = None
    calls: list[Call] = field(default_factory=list)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Play the next part of the script."""
        clock = asyncio.get_running_loop().time
        play = self.script[min(len(self.calls), len(self.script) - 1)]
        call = Call(request, budget_s, started=clock())
        self.calls.append(call)
        try:
            await _pause(play.after)
        except asyncio.CancelledError:
            call.cancelled = clock()
            if self.lingers_s:
                await asyncio.sleep(self.lingers_s)
            if self.dies_with is not None:
                raise self.dies_with from None
            raise
        finally:
            call.ended = clock()
        if isinstance(play.then, BaseException):
            raise play.then
        return play.then


def scripted(*script: Play, lingers_s: float = 0.0, dies_with: BaseException | None = None) -> ScriptedClient:
    return ScriptedClient(list(script), lingers_s, dies_with)


async def read_stream(client: ModelClient, request: InferenceRequest, budget_s: float = 10.0) -> list[StreamItem]:
    """What `client` streams for `request`, to its end."""
    started = await client.start(replace(request, stream=True), budget_s)
    begun = started if isinstance(started, Begun) else Begun.completed(started)
    async with aclosing(begun):
        items: list[StreamItem] = [begun.first] if begun.first else []
        while not items or isinstance(items[-1], StreamPart):
            items.append(await begun.next())
    if begun.end is None:
        return [begun.extras, *items] if begun.extras else items
    end = items[-1]
    return [*items[:-1], replace(end, extras=begun.extras) if isinstance(end, Finished) else end]


async def read_whole(client: ModelClient, request: InferenceRequest, budget_s: float = 10.0) -> Outcome:
    """What `client` answers to `request`, which does not stream."""
    started = await client.start(request, budget_s)
    return await started.read_to_end() if isinstance(started, Begun) else started


async def begun_stream(client: ModelClient, request: InferenceRequest, budget_s: float = 30.0) -> Begun:
    """A stream of `client` whose first content is there."""
    started = await client.start(replace(request, stream=True), budget_s)
    assert isinstance(started, Begun), started
    return started


async def _pause(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.Event().wait()
    elif seconds:
        await asyncio.sleep(seconds)


def a_request(text: str = "hello", timeout_s: float = 30.0, max_tokens: int | None = None) -> InferenceRequest:
    asked = Parameters(max_tokens=max_tokens)
    return InferenceRequest({"text": text}, text, messages=(), model="", timeout_s=timeout_s, parameters=asked)


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run `scenario` on a loop of its own whose time starts at 0 and passes only by being waited for."""
    # A scenario that waits for nothing fails after a second of real time instead of hanging.
    with asyncio.Runner(loop_factory=functools.partial(looptime.new_event_loop, idle_timeout=1)) as runner:
        return runner.run(scenario)
