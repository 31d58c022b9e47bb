"""Serve and its replicas, saying what a test wants: what `router` has of Ray."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from deployments.policy.outcome import Answered, Outcome
from deployments.ray_serve.cluster import DeployedApplication
from deployments.ray_serve.routers import Heard
from deployments.settings.offer import Offer

OWN = "neverblank"
READY = {"state": "ready", "reason": ""}


class Replica:
    """Stands for all replicas of one deployment."""

    def __init__(self) -> None:
        self.described: Any = READY
        self.all_described: list[Any] = [READY]
        self.told_loading: dict[str, Any] = {}
        self.outcome: Outcome = Answered("from the replica")
        self.waits: asyncio.Event | None = None
        self.asked = 0
        self.dead: set[str] = set()
        self.mute: set[str] = set()

    def lost(self, actors: Collection[str]) -> int:
        return len(self.dead & set(actors))

    def unresponsive(self, actors: Collection[str]) -> int:
        return len(self.mute & set(actors))

    def member(self, name: str) -> "Member":
        return Member(name)

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        return self.outcome

    async def tokenize(self, asked: object) -> Outcome:
        raise AssertionError("nobody asks its tokenizer")

    async def loading(self, actors: Collection[str]) -> dict[str, Any]:
        return self.told_loading

    async def expect(self, router: str, requests: float) -> None:
        """Hear of the demand, as a backup does."""

    async def describe_all(self) -> list[dict[str, Any]]:
        self.asked += 1
        return [dict(each) for each in self.all_described]

    async def describe(self) -> dict[str, Any]:
        self.asked += 1
        if self.waits:
            await self.waits.wait()
        if isinstance(self.described, BaseException):
            raise self.described
        return dict(self.described)


class Member:
    """Stands for one model of a pool."""

    def __init__(self, name: str) -> None:
        self.name = name

    def lost(self, actors: Collection[str]) -> int:
        return 0

    def unresponsive(self, actors: Collection[str]) -> int:
        return 0

    def member(self, name: str) -> "Member":
        raise AssertionError("a model of a pool has no models")

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        return Answered(f"from {self.name}")

    async def tokenize(self, asked: object) -> Outcome:
        raise AssertionError("nobody asks its tokenizer")

    async def describe(self) -> dict[str, Any]:
        raise AssertionError("its pool is asked")

    async def describe_all(self) -> list[dict[str, Any]]:
        raise AssertionError("its pool is asked")

    async def loading(self, actors: Collection[str]) -> dict[str, Any]:
        raise AssertionError("its pool is asked")


class FakeCluster:
    """Serve, a `ClusterView` that says what a test puts into it.

    Attributes:
        known: the applications there are.
        replicas: by the names of the applications; `Replica` for those that are not in there.
        trouble: what asking raises, until it is `None` again.
        pause_s: how long it takes to answer.
        looks: how often it was asked.
        routers: the routers that run, by the ids of their replicas; `None` for one that does not answer.
        questions: how often the routers were asked.
        exposed: other machines can reach its port.
    """

    exposed = False

    def __init__(self, replicas: Mapping[str, Any] | None = None, /, **known: DeployedApplication) -> None:
        self.known = known
        self.replicas: dict[str, Any] = dict(replicas or {})
        self.trouble: Exception | None = None
        self.pause_s = 0.0
        self.looks = 0
        self.routers: dict[str, Any] = {}
        self.questions = 0

    @property
    def own_replica(self) -> str:
        return "r1"

    @property
    def service_id(self) -> str:
        return "this-service"

    @property
    def own_application(self) -> str:
        return OWN

    async def applications(self) -> dict[str, DeployedApplication]:
        self.looks += 1
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        if self.trouble:
            raise self.trouble
        return dict(self.known)

    async def watch_replicas(self, policy: Any) -> None:
        await asyncio.Event().wait()

    async def routers_readiness(self) -> list[dict[str, bool]]:
        self.questions += 1
        await asyncio.sleep(self.pause_s)
        return []

    @property
    def running_routers(self) -> frozenset[str]:
        return frozenset(self.routers)

    async def ask_routers(self, question: str, *arguments: Any) -> Heard:
        """Ask the `routers` that do not hang."""
        self.questions += 1
        if self.trouble:
            raise self.trouble
        await asyncio.sleep(self.pause_s)
        heard = [await getattr(router, question)(*arguments) for router in self.routers.values() if router]
        return Heard(heard, ["no answer within 2 s"] * (len(self.routers) - len(heard)))

    async def exchange_counts(self, tables: list[Any]) -> list[list[Any]]:
        return [tables]

    async def is_exposed(self) -> bool:
        return self.exposed

    def replicas_of(self, application: DeployedApplication) -> Any:
        assert application.built, "Serve has no handle for what was not built"
        return self.replicas.setdefault(application.name, Replica())


SERVER = Offer(passes_on=frozenset({"chat", "text"}))
"""Of a model whose replicas run a server."""


def application(name: str, **changes: Any) -> DeployedApplication:
    facts: dict[str, Any] = {
        "status": "RUNNING",
        "message": "",
        "running": 1,
        "starting": 0,
        "deployed_at": 1.0,
    } | changes
    return DeployedApplication(name, **facts)
