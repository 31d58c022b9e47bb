"""Hosts with replicas, behind a router that finds out itself which of them it can reach.

A host that is unplugged sends nothing, not even a reset: what it owes comes once it is plugged in again, if then. The
calls go through `ServeReplicas` and `ReplicaWatch`; only Serve's handle is played.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.policy.outcome import Answered, Finished, Outcome
from deployments.policy.responsiveness import ReplicaPolicy
from deployments.ray_serve.cluster import DeployedApplication
from deployments.ray_serve.handle import ServeReplicas
from deployments.ray_serve.replica_watch import ReplicaWatch, note_sent
from deployments.replica.backup import BackupReplica
from tests.serving import OWN, READY, FakeCluster, application


class Host:
    """A machine, and whether this router reaches it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plugged = asyncio.Event()
        self.plugged.set()


@dataclass(slots=True)
class Placed:
    """A replica: its host, how long it takes for an answer and for a ping, how many calls it has had, what it says."""

    host: Host
    takes_s: float = 0.2
    pings_take_s: float = 0.001
    calls: int = 0
    says: Callable[[], Outcome] | None = None


class Response:
    """What a handle gives for a call: a task in which a replica is chosen, and answers."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self._reading: asyncio.Task[Any] | None = None

    def __await__(self) -> Any:
        return self._next().__await__()

    async def _next(self) -> Any:
        self._reading = asyncio.ensure_future(anext(self._items))
        try:
            return await self._reading
        except asyncio.CancelledError:
            self._reading.cancel()
            raise

    def __aiter__(self) -> "Response":
        return self

    async def __anext__(self) -> Any:
        return await self._next()

    def cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


@dataclass(eq=False)
class Deployment:
    """The replicas of one deployment, and the handle that calls them."""

    name: str
    watch: ReplicaWatch
    replicas: dict[str, Placed] = field(default_factory=dict)
    pings: int = 0
    _turn: Any = field(default_factory=itertools.count)

    def hosts(self) -> Mapping[str, str]:
        return {actor: placed.host.name for actor, placed in self.replicas.items()}

    async def ping(self, actor: str, *, afresh: bool) -> None:
        self.pings += 1
        placed = self.replicas[actor]
        await placed.host.plugged.wait()
        await asyncio.sleep(placed.pings_take_s)

    async def shake_hands(self, actor: str) -> None:
        await self.replicas[actor].host.plugged.wait()

    def options(self, *, stream: bool = False, **_: Any) -> "_Handle":
        return _Handle(self, streamed=stream)


@dataclass(slots=True)
class _Handle:
    deployment: Deployment
    streamed: bool = False
    method: str = ""

    def options(self, *, stream: bool = False, **_: Any) -> "_Handle":
        return _Handle(self.deployment, stream, self.method)

    def __getattr__(self, name: str) -> "_Handle":
        if hasattr(DeploymentHandle, name) or not hasattr(BackupReplica, name):
            raise AttributeError(f"this handle does not play {name}, or no replica has it")
        return _Handle(self.deployment, self.streamed, name)

    def broadcast(self, method: str, *_: Any) -> "_Broadcast":
        return _Broadcast(self.deployment, getattr(self, method).method)

    def remote(self, *_: Any) -> Response:
        return Response(self._play())

    async def _play(self) -> Any:
        """Choose a replica in turn, as Serve does where they are equally busy, and answer."""
        all_of_them, watch = self.deployment.replicas, self.deployment.watch
        fit = [actor for actor in all_of_them if watch.is_fit(actor)] or list(all_of_them)
        actor = fit[next(self.deployment._turn) % len(fit)]
        replica = all_of_them[actor]
        note_sent(actor)
        await replica.host.plugged.wait()
        if self.method == "describe":
            yield READY
            return
        replica.calls += 1
        answer = replica.says() if replica.says else Answered(f"{self.deployment.name} on {replica.host.name}")
        for part in range(4) if self.streamed else range(1):
            await asyncio.sleep(replica.takes_s / (4 if self.streamed else 1))
            await replica.host.plugged.wait()
            if not self.streamed:
                yield answer
            elif isinstance(answer, Answered):
                yield f"{answer.result} {part} "
        if self.streamed:
            yield Finished() if isinstance(answer, Answered) else answer


@dataclass(slots=True)
class _Broadcast:
    """One call of all replicas, which are asked once their answers are waited for."""

    deployment: Deployment
    method: str

    async def results_async(self, *, timeout_s: float, return_exceptions: bool = False) -> list[Any]:
        """Return what they all answer: those that are unplugged keep everybody waiting."""
        replicas = list(self.deployment.replicas.values())
        async with asyncio.timeout(timeout_s):
            return await asyncio.gather(*map(self._of, replicas), return_exceptions=return_exceptions)

    async def _of(self, replica: Placed) -> Any:
        await replica.host.plugged.wait()
        return READY if self.method == "describe" else None


class HostedCluster(FakeCluster):
    """Serve with deployments on hosts. Its controller sees all hosts, and calls them all well."""

    def __init__(self, **deployments: list[Host]) -> None:
        super().__init__()
        self.watch = ReplicaWatch()
        self.deployments = {name: Deployment(name, self.watch) for name in deployments}
        for name, deployment in self.deployments.items():
            for number, host in enumerate(deployments[name]):
                deployment.replicas[f"{name}-{number}"] = Placed(host)
            self.watch.add(name, deployment)
        self.reached: dict[str, Any] = {
            name: ServeReplicas(each.options(), name, self.watch, each) for name, each in self.deployments.items()
        }
        for name, deployment in self.deployments.items():
            own = OWN if name == "backup" else name
            actors = frozenset(deployment.replicas)
            self.known[own] = application(own, running=len(actors), actors=actors)

    async def watch_replicas(self, policy: Callable[[], ReplicaPolicy]) -> None:
        await self.watch.run(policy)

    def replicas_of(self, application: DeployedApplication) -> Any:
        return self.reached[application.name]
