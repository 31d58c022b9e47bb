"""One world: drawn from a seed, run through the real router, and what came of it.

The policy is the default one, but for what names models; some worlds change a few knobs. What is drawn follows a kind:
a rare state is reached sooner where the world leans that way.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson

from deployments.execution import flight
from deployments.http.asgi import build_asgi
from deployments.observability import log, metrics
from deployments.ray_serve import metrics as exporter
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.upstream.connection import Connection
from tests.serving import OWN, FakeCluster, application
from tests.simulation.asking import Ask, Habits, draw_ask
from tests.simulation.client import Exchange, exchange
from tests.simulation.happenings import OVERRIDES, REMOTES, Happenings, draw_happenings
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network, Response
from tests.simulation.record import NotedLog, Record
from tests.simulation.replicas import Replicas
from tests.simulation.script import Life, Mood

KINDS = (
    *("any",) * 7,
    *("remote",) * 4,
    *("recovers",) * 4,
    *("restarts",) * 3,
    *("crowd",) * 2,
    *("tail",) * 2,
    "crawls",
    "burst",
)

SETTLE_S = 320.0
"""By then whatever was under way behind the last answer has come to its end: a losing probe goes on for a while."""


class Unexported:
    """A metric of Ray's that keeps nothing: what Ray does with each value takes longer than the request it is of."""

    def inc(self, _: float, tags: dict[str, str]) -> None:
        """Count."""

    observe = set = inc


UNEXPORTED = Unexported()


@dataclass(slots=True)
class World:
    """What one seed stands for.

    Attributes:
        policy: what is laid over the default policy.
        lives: how each model is over time, the backup's under `backup`.
        asks: the requests.
        happens: when something happens, and what.
    """

    seed: int
    kind: str
    policy: dict[str, Any]
    lives: dict[str, Life]
    asks: list[Ask]
    happens: list[tuple[float, str, Any]]


@dataclass(slots=True)
class Run:
    """A world that has been run.

    Attributes:
        exchanges: the requests with their responses.
        record: what the scripted side saw.
        logged: the log lines: level, event, fields.
        left: what was still there at the end, in words.
        jumps: of the loop.
        allowances: when the budgets were asked, and whether a retry was left.
        told: the answers of each exchange, once they have been read.
    """

    world: World
    exchanges: list[Exchange] = field(default_factory=list)
    record: Record = field(default_factory=Record)
    logged: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    jumps: list[tuple[float, float]] = field(default_factory=list)
    allowances: list[tuple[float, bool]] = field(default_factory=list)
    told: dict[int, tuple[list[Any], str]] = field(default_factory=dict)


def draw_world(seed: int) -> World:
    """The world of a seed."""
    rng = random.Random(seed)  # noqa: S311 - a seed is the whole point
    kind = rng.choice(KINDS)
    names = ["a", "b", "backup", "hosted", "other"]
    lives = {name: _draw_life(rng, kind, name, seed) for name in names}
    span_s = {"tail": 4.0, "crawls": 4.0, "recovers": 8.0, "burst": 0.05}.get(kind, rng.choice((0.5, 3.0, 8.0)))
    habits = _draw_habits(rng, kind)
    counts = {"tail": 28, "crawls": 32, "recovers": rng.randint(8, 12), "crowd": rng.randint(6, 14), "burst": 9}
    count = counts.get(kind, rng.randint(2, 6))
    begins = rng.choice((0.0, 0.2, 1.5))
    times = sorted(begins + span_s * rng.random() for _ in range(count))
    asks = [draw_ask(rng, number, at, habits) for number, at in enumerate(times)]
    return World(seed, kind, _draw_policy(rng, kind), lives, asks, draw_happenings(rng, kind, span_s))


def _draw_habits(rng: random.Random, kind: str) -> Habits:
    models: tuple[str, ...] = ("", "a", "a", "b", "hosted", "backup", "nobody")
    timeouts = (rng.choice((1.0, 3.0)), rng.uniform(0.05, 2.0), 8.0, 30.0)
    if kind == "remote":
        models = ("hosted", "hosted", "other")
    if kind in ("tail", "recovers", "burst"):
        return Habits(("a",), (4.0, 10.0) if kind == "recovers" else (30.0,), plain=rng.random() < 0.8)
    if kind == "crawls":
        return Habits(("a",), (30.0,), plain=True, streams=True)
    return Habits(models, timeouts)


def _draw_life(rng: random.Random, kind: str, name: str, seed: int) -> Life:
    own = random.Random(f"{seed}/{name}")  # noqa: S311 - the same
    usual_s, spread_s = rng.choice(((0.0, 0.0), (0.005, 0.02), (0.05, 0.3), (0.3, 1.0)))
    if kind == "recovers":
        moods = [(0.0, Mood.WELL)]
        if name == "a":
            moods = [(0.0, rng.choice((Mood.BROKEN, Mood.BROKEN, Mood.BLANK))), (rng.uniform(1.0, 7.0), Mood.WELL)]
        return Life(moods, 0.05, 0.03, own)
    if kind in ("tail", "crawls"):
        slow = (rng.uniform(3.2, 3.9), Mood.CRAWLS if kind == "crawls" else rng.choice((Mood.SLOW, Mood.HUNG)))
        # A model that usually takes half a second is hedged before it is silent for too long, a fast one is not.
        usual_s = 0.5 if kind == "tail" and seed % 2 else 0.02
        return Life(
            [(0.0, Mood.WELL), slow] if name == "a" else [(0.0, Mood.WELL)], usual_s, 0.02, own, kind == "crawls"
        )
    if kind == "burst":
        return Life([(0.0, Mood.BROKEN), (0.5, Mood.WELL)] if name == "a" else [(0.0, Mood.WELL)], 0.15, 0.02, own)
    draws = tuple(Mood) + (Mood.WELL,) * 3 + (Mood.WILD, Mood.CUT, Mood.CUT)
    moods = [(0.0, rng.choice(draws))]
    if rng.random() < 0.5:
        moods.append((rng.uniform(0.5, 6.0), rng.choice(draws)))
    return Life(moods, usual_s, spread_s, own)


def _draw_policy(rng: random.Random, kind: str) -> dict[str, Any]:
    policy: dict[str, Any] = {"default_model": "a", "remotes": REMOTES}
    if rng.random() < 0.5:
        policy["models"] = {"a": {"fallbacks": rng.choice((["b"], ["hosted"], ["b", "other"]))}}
    if rng.random() < 0.25:
        policy["backup_model"] = "hosted"
    if kind == "crowd":
        policy["admission"] = {"max_in_flight": rng.randint(1, 4)}
    if rng.random() < 0.15:
        policy |= rng.choice(OVERRIDES)
    return policy


def run_world(world: World) -> Run:
    """Run a world on a loop of its own."""
    run = Run(world)
    loop = SimulatedLoop()
    random.seed(world.seed)
    network = Network(world.lives, run.record)

    async def begin(connection: Connection, _url: Any, body: bytes, _headers: Any) -> Response:
        return await network.begin(connection._spec.model, body)

    try:
        with (
            patch.object(log, "logger", lambda: NotedLog(run.logged)),
            patch.object(exporter, "exported", lambda _: UNEXPORTED),
            patch.object(Connection, "begin", begin),
        ):
            loop.run_until_complete(_live(world, run, loop))
    finally:
        metrics.drain_counts()
        loop.close()
    run.jumps = loop.jumps
    run.left += [f"a task: {task.get_coro()}" for task in loop.tasks if not task.done()]
    run.left += [f"an exception nobody took: {task}" for task in loop.tasks if _is_lost(task)]
    run.left += [f"the loop complains: {complaint}" for complaint in loop.complaints]
    return run


def _is_lost(task: Any) -> bool:
    """Whether a task has ended with an exception that nobody has looked at."""
    return bool(task.done() and task._log_traceback)


async def _live(world: World, run: Run, loop: SimulatedLoop) -> None:
    replicas = {name: Replicas(name, world.lives[name], run.record) for name in ("a", "b", "backup")}
    known = {OWN: application(OWN), "a": application("a"), "b": application("b")}
    serve = FakeCluster(replicas, **known)
    backup: Any = replicas["backup"]
    router = Router(serve, backup, "backup", PolicySettings())
    router.reconfigure(world.policy)
    _note_allowances(router, run, loop)
    app = build_asgi(router)
    events = Happenings(world.policy, run.record, loop, router, serve)
    for at, what, detail in world.happens:
        loop.call_at(at, events.happen, what, detail)
    async with app.router.lifespan_context(app):
        asking = [loop.create_task(_ask(app, ask, run)) for ask in world.asks]
        await asyncio.wait(asking)
        until = loop.time() + SETTLE_S
        while loop.time() < until and any(call.ended is None for call in run.record.calls):  # noqa: ASYNC110 - no hurry
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.01)
        run.left += [str(task.exception()) for task in asking if task.exception()]
        run.left += list(_left_over(router, run))
    for each in replicas.values():
        each.runs.set()
    await asyncio.sleep(0.01)
    run.left += [f"a task behind a race: {task}" for task in flight.losers._tasks]


async def _ask(app: Any, ask: Ask, run: Run) -> None:
    await asyncio.sleep(ask.at)
    run.exchanges.append(await exchange(app, ask))


def _note_allowances(router: Router, run: Run, loop: SimulatedLoop) -> None:
    real = router._resilience.allowance

    def allowance(now: float, **wishes: Any) -> Any:
        allowed = real(now, **wishes)
        run.allowances.append((loop.time(), allowed.retry))
        return allowed

    router._resilience.allowance = allowance  # type: ignore[method-assign]


def _left_over(router: Router, run: Run) -> Any:
    """What a router still holds though nothing is under way."""
    status = orjson.loads(orjson.dumps(router.describe()))
    yield from (f"{key}: {status[key]}" for key in ("in_flight", "arriving", "waiting") if status[key])
    yield from (f"a permit: {permit}" for permit in router._resilience._permits)
    for name, known in router._resilience._models.items():
        if known.limit.in_flight or getattr(known.breaker, "probing", 0):
            yield f"{name}: {known.limit.in_flight} in flight, {known.breaker}"
    for name, upstream in router._upstreams._upstreams.items():
        if requests := upstream.describe()["requests"]:
            yield f"upstream {name}: {requests} in flight"
    yield from (f"a call: {call}" for call in run.record.calls if call.ended is None)
