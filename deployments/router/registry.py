"""Which models there are, as the router knows it: found by asking Serve, kept while Serve cannot be asked."""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from deployments.observability import log
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.outcome import UNKNOWN_MODEL
from deployments.ray_serve.cluster import DeployedApplication
from deployments.router.registered_model import ModelReplicas, RegisteredModel, Unreachable
from deployments.router.waiting_room import Readiness

_STATUS_TIMEOUT_S = 10.0

HURRIED_S = 0.2
"""Seconds between two looks while somebody waits for a model to become ready."""


class ClusterView(Protocol):
    """What the registry needs of Serve; `ray_serve.cluster.ServeCluster` is the real one."""

    @property
    def own_application(self) -> str:
        """The router's own application."""
        ...

    async def applications(self) -> dict[str, DeployedApplication]:
        """Every model's and pool's application, and the router's own."""
        ...

    async def routers_readiness(self) -> Sequence[Mapping[str, bool]]:
        """What each router of the service says of its tiers."""
        ...

    def replicas_of(self, application: DeployedApplication) -> ModelReplicas:
        """How the model or the pool of an application is reached."""
        ...


class Registry:
    """All models and the backup. Refreshed by `watch`; readers see the last state that Serve gave."""

    def __init__(self, cluster: ClusterView, backup: ModelReplicas) -> None:
        self._cluster = cluster
        self._applications: dict[str, RegisteredModel] = {}
        self._members: dict[str, RegisteredModel] = {}
        # Taken for running until Serve has been asked: a router that cannot ask must still try it.
        self.backup = RegisteredModel(
            DeployedApplication(cluster.own_application, "", "", 1, 0, 0.0), backup, last=True
        )
        self._trouble = ""
        self._refreshed = -math.inf
        self._looked: float | None = None
        self._first_look = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """All models by their names: those with an application of their own, and those of pools."""
        own = {name: entry for name, entry in self._applications.items() if not entry.application.pool}
        return {**self._members, **own}

    def find(self, model: str) -> RegisteredModel | Unreachable:
        """How `model` is reached. Of two with one name, the one with an application of its own."""
        own = self._applications.get(model)
        if own is not None and not own.application.pool:
            return own
        return self._members.get(model) or Unreachable(UNKNOWN_MODEL)

    async def watch(self, interval_s: Callable[[], float]) -> None:
        """Refresh now and for ever; `interval_s` says after how many seconds each time, or sooner: see `hurry`."""
        clock = asyncio.get_running_loop().time
        while True:
            self._looked = clock()
            await self.refresh()
            self._looked = clock()
            soonest = HURRIED_S if self._hurry.is_set() else interval_s()
            self._hurry.clear()
            await asyncio.sleep(soonest)

    def hurry(self) -> None:
        """Somebody waits for a model to become ready: look again soon."""
        self._hurry.set()

    async def first_look(self, until: float) -> None:
        """Wait until Serve has been asked for the first time, well or not, at most until a time."""
        if not self._first_look.is_set():
            loop = asyncio.get_running_loop()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(max(until, loop.time())):
                    await self._first_look.wait()

    def readiness_of(self, candidate: Candidate) -> Readiness:
        """Whether a replica of `candidate` takes requests now, or will."""
        entry = self.backup if candidate.tier is Tier.BACKUP else self.find(candidate.model)
        if not isinstance(entry, RegisteredModel) or entry.state == "failed":
            return Readiness.NEVER
        return Readiness.NOW if entry.state == "ready" else Readiness.SOON

    async def refresh(self) -> None:
        """Ask Serve once, then the replicas that it names; when that fails, what was known before holds."""
        try:
            async with asyncio.timeout(_STATUS_TIMEOUT_S):
                applications = await self._cluster.applications()
            self._take_over(applications)
            self._refreshed = asyncio.get_running_loop().time()
            await asyncio.gather(*(entry.ask() for entry in (self.backup, *self._applications.values())))
            self._take_over_members()
            self._report("")
        except Exception as error:  # noqa: BLE001 - the controller may be restarting: the next refresh asks again
            self._report(f"{type(error).__name__}: {error}")
        finally:
            self._first_look.set()

    def silent_s(self) -> float:
        """Seconds since a look at Serve last began or ended, well or not; 0 before the first one."""
        return 0.0 if self._looked is None else asyncio.get_running_loop().time() - self._looked

    def age_s(self) -> float:
        """Seconds since Serve last told; infinite before the first time."""
        return asyncio.get_running_loop().time() - self._refreshed

    def _take_over(self, applications: dict[str, DeployedApplication]) -> None:
        own = applications.pop(self._cluster.own_application, None)
        if own is not None:
            self.backup = self.backup.renewed(own)
        for name in self._applications.keys() - applications.keys():
            self._forget(name)
        for name, application in applications.items():
            known = self._applications.get(name)
            if known is None:
                log.model_found(name)
            self._applications[name] = self._entry(application, known)

    def _entry(self, application: DeployedApplication, known: RegisteredModel | None) -> RegisteredModel:
        if known is not None and known.application.built:
            # While Serve builds a new version, and after it could not, it does not tell of the replicas of the one
            # before, which serve on.
            return known.renewed(application if application.built else application.serving_as(known.application))
        if application.built:
            return RegisteredModel(application, self._cluster.replicas_of(application))
        return RegisteredModel(application, Unreachable(application.message))

    def _take_over_members(self) -> None:
        """The models of pools, as a replica of each pool last told; a pool that does not answer keeps its models."""
        members: dict[str, RegisteredModel] = {}
        for name, pool in self._applications.items():
            if not pool.application.pool:
                continue
            told: Mapping[str, Any] = pool.described.get("models", {})
            members |= {model: self._member(name, model, facts) for model, facts in told.items()}
            if not told:
                members |= {
                    model: entry.renewed(pool.application)
                    for model, entry in self._members.items()
                    if entry.application.name == name
                }
            # How its models are changes without a deployment: it is to be asked again.
            pool.settled = False
        _tell_found(members.keys() - self._members.keys())
        self._members = members

    def _member(self, pool: str, model: str, facts: dict[str, Any]) -> RegisteredModel:
        entry = self._applications[pool]
        known = self._members.get(model)
        theirs = known is not None and known.application.name == pool
        replicas = known.replicas if known and theirs else entry.replicas.member(model)
        return RegisteredModel(entry.application, replicas, {**facts, "pool": pool}, settled=True)

    def _forget(self, name: str) -> None:
        del self._applications[name]
        log.model_gone(name)

    def _report(self, trouble: str) -> None:
        """One line when Serve cannot be asked, not one for each time it is tried."""
        if trouble and trouble != self._trouble:
            log.discovery_failed(trouble)
        self._trouble = trouble


def _tell_found(models: Iterable[str]) -> None:
    for model in sorted(models):
        log.model_found(model)
