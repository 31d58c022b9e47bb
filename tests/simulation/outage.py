"""A model that stands still for a while, under callers who each ask again as soon as they have their answer.

What `kill -STOP` does to a replica: whatever it is at, and whatever it is asked, is answered only once it goes on.
Or the model is well, and for that while its callers ask for essays.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson

from deployments.execution.attempt import Begun
from deployments.http.asgi import build_asgi
from deployments.observability import log, metrics
from deployments.policy.outcome import Outcome
from deployments.request import InferenceRequest
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import OWN, FakeCluster, application
from tests.simulation.asking import NATIVE, Ask
from tests.simulation.client import exchange
from tests.simulation.loop import SimulatedLoop
from tests.simulation.record import NotedLog, Record, own_fault
from tests.simulation.replicas import Replicas
from tests.simulation.script import Life, Mood

ESSAY, ESSAY_S = "essay", 8.0
"""What a text asks for that takes the model so many seconds."""


class StoppableReplicas(Replicas):
    """Replicas that can be stopped and go on later, and that take their time for essays."""

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:
        """Answer as usual, but not while stopped."""
        await self.runs.wait()
        if self.name == "a" and ESSAY in request.text:
            await asyncio.sleep(ESSAY_S)
        outcome = await super().start(request, budget_s, alone=alone)
        await self.runs.wait()
        return outcome


@dataclass(frozen=True, slots=True)
class Waited:
    """One request of an outage: when it was sent, how long it took, and which models it was answered by and tried."""

    at: float
    seconds: float
    answered_by: str
    attempts: list[dict[str, Any]]


@dataclass(slots=True)
class Outage:
    """How the outage goes.

    Attributes:
        clients: callers, each with one request at a time.
        stops_at: when the model is stopped, and has answered enough requests to be known.
        stopped_s: for how long.
        essays: instead of being stopped, the model is asked for essays.
        max_tokens: the bound of each answer; `None` for none.
        stream: the callers ask for streams.
        policy: laid over the default policy.
        timeout_s: the deadline of each request.
        waits: the requests.
        logged: the log lines: level, event, fields.
    """

    clients: int
    stops_at: float = 30.0
    stopped_s: float = 24.0
    essays: bool = False
    max_tokens: int | None = 16
    stream: bool = False
    policy: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 6.0
    waits: list[Waited] = field(default_factory=list)
    logged: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def since(self, seconds: float) -> list[Waited]:
        """The requests sent while the model was stopped, from `seconds` after that on."""
        return [each for each in self.waits if self.stops_at + seconds <= each.at < self.stops_at + self.stopped_s]

    def openings(self) -> int:
        """How often a breaker opened."""
        return sum(event == "breaker_changed" and told["after"] == "open" for _, event, told in self.logged)


def run_outage(outage: Outage) -> Outage:
    """Run `outage` on a loop of its own: the model `a` stops, `b` and the backup are well."""
    loop = SimulatedLoop(most_turns=4_000_000)
    random.seed(7)
    try:
        with patch.object(log, "logger", lambda: NotedLog(outage.logged)):
            loop.run_until_complete(_live(outage, loop))
    finally:
        metrics.drain_counts()
        loop.close()
    told = [fault for _, event, fields in outage.logged if (fault := own_fault(event, fields))]
    assert not told, told
    return outage


async def _live(outage: Outage, loop: SimulatedLoop) -> None:
    record = Record()
    lives = {
        name: Life([(0.0, Mood.WELL)], usual_s, spread_s, random.Random(name))  # noqa: S311 - seeded
        for name, usual_s, spread_s in (("a", 0.08, 0.27), ("b", 0.1, 0.2), ("backup", 0.2, 0.2))
    }
    replicas: dict[str, Replicas] = {name: StoppableReplicas(name, life, record) for name, life in lives.items()}
    serve = FakeCluster(replicas, **{name: application(name) for name in (OWN, "a", "b")})
    backup: Any = replicas["backup"]
    router = Router(serve, backup, "backup", PolicySettings())
    router.reconfigure({"default_model": "a", **outage.policy})
    app = build_asgi(router)
    ends = outage.stops_at + outage.stopped_s + 10.0
    if not outage.essays:
        loop.call_at(outage.stops_at, replicas["a"].runs.clear)
        loop.call_at(outage.stops_at + outage.stopped_s, replicas["a"].runs.set)
    async with app.router.lifespan_context(app):
        await asyncio.gather(*(_ask_again_and_again(app, outage, number, ends) for number in range(outage.clients)))
        await asyncio.sleep(outage.timeout_s)
    await asyncio.sleep(0.01)


async def _ask_again_and_again(app: Any, outage: Outage, number: int, ends: float) -> None:
    now = asyncio.get_running_loop().time
    count = 0
    await asyncio.sleep(0.3 * random.random())  # noqa: S311 - callers who do not begin at the same moment
    while now() < ends:
        count += 1
        token = f"q{number * 10_000 + count}q"
        asks_for_essay = outage.essays and outage.stops_at <= now() < outage.stops_at + outage.stopped_s
        text = f"{ESSAY if asks_for_essay else 'Tell me of'} {token}."
        wish = {"text": text, "timeout": outage.timeout_s, "stream": outage.stream}
        if outage.max_tokens is not None and not asks_for_essay:
            wish["max_tokens"] = outage.max_tokens
        body = orjson.dumps(wish)
        headers = [(b"content-type", b"application/json")]
        ask = Ask(token, now(), NATIVE, "/v1/infer", body, headers, outage.stream, outage.timeout_s)
        ask.pieces = [(0.0, body)]
        began = now()
        done = await exchange(app, ask)
        first = done.chunks[0][0] if done.chunks else now()
        last = orjson.loads(done.body.rsplit(b"data: ", 1)[-1] if outage.stream else done.body)
        outage.waits.append(Waited(began, first - began, last["model"], last["attempts"]))
