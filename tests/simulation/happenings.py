"""What happens in a world beside its requests: to models, to Serve, to the policy, to the loop."""

import math
import random
from collections.abc import Callable
from typing import Any

from deployments.router.router import Router
from deployments.settings import SettingsError
from tests.serving import OWN, FakeCluster, application
from tests.simulation.loop import SimulatedLoop
from tests.simulation.record import Record

REMOTES = {
    name: {"base_url": f"https://{name}.example/v1", "model": name, "fallbacks": fallbacks}
    for name, fallbacks in (("hosted", ["b"]), ("other", []))
}

OVERRIDES: tuple[dict[str, Any], ...] = (
    {"last_resort": {"status": 503}},
    {"last_resort": {"message": "Nobody is here."}},
    *[{"rescue": {"invalid": True, "content_filter": True}}] * 3,
    {"streams": {"stall_seconds": 1.0, "continue_seconds": 1.0}},
    {"streams": {"max_seconds": 3.0, "max_characters": 1024}},
    {"breaker": {"failures": 1, "open_seconds": 0.2}},
    {"admission": {"min_limit": 1, "max_limit": 1, "max_waiting": 1}},
    {"hedging": {"min_samples": 1}},
    {"retries": {"max": 0}},
    {"timeout_seconds": 2.0, "max_timeout_seconds": 40.0},
)
INVALID: tuple[dict[str, Any], ...] = (
    {"breaker": {"open_secods": 1}},
    {"retries": {"base_seconds": 2}},
    {"timeout_seconds": "soon"},
)


def draw_happenings(rng: random.Random, kind: str, span_s: float) -> list[tuple[float, str, Any]]:
    """What happens beside the requests: to models, to Serve, to the policy, to the loop."""
    happens: list[tuple[float, str, Any]] = []
    if kind == "restarts" or rng.random() < 0.1:
        for name in rng.choice((("a",), ("a", "backup"), ("a", "b", "backup"))):
            gone_s = rng.choice((0.0, rng.uniform(0, span_s)))
            down = rng.choice(("starting", "idle", "loading", "failed", "vanished", "lost"))
            happens += [(gone_s, "down", (name, down)), (gone_s + rng.uniform(0.1, 4.0), "up", name)]
    for chance, what, draw in _CHANCES:
        if rng.random() < chance:
            happens.append((rng.uniform(0, span_s + 1), what, draw(rng)))
    return sorted(happens, key=lambda each: each[0])


_CHANCES: tuple[tuple[float, str, Callable[[random.Random], Any]], ...] = (
    (0.12, "jump", lambda rng: rng.choice((0.05, 0.5, 2.0, 12.0, 40.0))),
    (0.08, "reconfigure", lambda rng: rng.choice(OVERRIDES)),
    (0.02, "reconfigure", lambda rng: rng.choice(INVALID)),
    (0.04, "reconfigure", lambda _: {"remotes": {"hosted": None}}),
    (0.05, "trouble", lambda rng: rng.uniform(0.5, 5.0)),
    (0.03, "slow", lambda rng: rng.choice((0.5, 3.0, 11.0))),
)


def in_force(policy: dict[str, Any], record: Record, since: float, until: float) -> list[dict[str, Any]]:
    """Every policy that was in force at some time from `since` to `until`: each takes the place of the one before."""
    changes = [(at, change) for at, what, change in record.events if what == "reconfigure" and change not in INVALID]
    begun = [(0.0, policy), *[(at, {**policy, **change}) for at, change in changes]]
    ends = [*[at for at, _ in begun[1:]], math.inf]
    return [each for (at, each), end in zip(begun, ends, strict=True) if at <= until and end >= since]


class Happenings:
    """Makes things happen to a world that is being run."""

    def __init__(
        self, policy: dict[str, Any], record: Record, loop: SimulatedLoop, router: Router, serve: FakeCluster
    ) -> None:
        """Change `router`, which was given `policy`, and `serve`."""
        self._policy, self._record, self._loop, self._router, self._serve = policy, record, loop, router, serve

    def happen(self, what: str, detail: Any) -> None:
        """Let `what` happen now."""
        self._record.note(what, detail)
        getattr(self, f"_{what}")(detail)

    def _jump(self, seconds: float) -> None:
        self._loop.jump(seconds)

    def _reconfigure(self, change: dict[str, Any]) -> None:
        merged = {**self._policy, **change}
        if change.get("remotes") == {"hosted": None}:
            merged["remotes"] = {"hosted": {**REMOTES["hosted"], "max_connections": 8}, "other": REMOTES["other"]}
        try:
            self._router.reconfigure(merged)
        except SettingsError:
            self._record.note("policy refused")

    def _trouble(self, seconds: float) -> None:
        self._serve.trouble = ConnectionError("no controller")
        self._loop.call_later(seconds, setattr, self._serve, "trouble", None)

    def _slow(self, seconds: float) -> None:
        self._serve.pause_s = seconds
        self._loop.call_later(2.0, setattr, self._serve, "pause_s", 0.0)

    def _down(self, detail: tuple[str, str]) -> None:
        name, down = detail
        key = OWN if name == "backup" else name
        replicas = self._serve.replicas[name]
        every: dict[str, dict[str, Any]] = {
            "starting": {"running": 0, "starting": 1, "status": "DEPLOYING"},
            "idle": {"running": 0},
            "failed": {"running": 0, "status": "DEPLOY_FAILED", "message": "it cannot"},
            "lost": {"actors": frozenset({"1"})},
        }
        changes = every.get(down, {})
        if down == "vanished" and name != "backup":
            self._serve.known.pop(key, None)
            return
        if "running" in changes:
            replicas.runs.clear()
        if down == "loading":
            replicas.described = {"state": "loading", "reason": "it loads"}
        if down == "lost":
            replicas.dead.add("1")
        if down in {"lost", "starting"}:  # what is idle or taken away has been drained
            replicas.die()
        self._serve.known[key] = application(key, deployed_at=2.0, **changes)

    def _up(self, name: str) -> None:
        key = OWN if name == "backup" else name
        replicas = self._serve.replicas[name]
        replicas.described = {"state": "ready", "reason": ""}
        replicas.dead.clear()
        replicas.runs.set()
        self._serve.known[key] = application(key, deployed_at=3.0)
