"""The registry of models: found by asking Serve, kept while Serve cannot be asked."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from deployments.access.counts import Table
from deployments.observability import log
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.impossible import NOT_LOOKED
from deployments.policy.outcome import UNKNOWN_MODEL
from deployments.policy.responsiveness import ReplicaPolicy
from deployments.ray_serve.cluster import DeployedApplication
from deployments.ray_serve.routers import Heard
from deployments.router.model_replicas import ModelReplicas
from deployments.router.registered_model import Readiness, RegisteredModel, Unreachable

_STATUS_TIMEOUT_S = 10.0

HURRIED_S = 0.2
"""Seconds between two refreshes while a request waits for a model to become ready."""


class ClusterView(Protocol):
    """The part of Serve that the router needs; `ray_serve.cluster.ServeCluster` implements it."""

    @property
    def own_application(self) -> str:
        """The name of the router's own application."""
        ...

    @property
    def own_replica(self) -> str:
        """The id of the router's own replica, which no other one has on any node."""
        ...

    @property
    def service_id(self) -> str:
        """An id that all routers of the service share, and no other service has."""
        ...

    async def applications(self) -> dict[str, DeployedApplication]:
        """Return the applications of all models and pools by name, and the router's own. Errors of Serve are raised."""
        ...

    async def watch_replicas(self, policy: Callable[[], ReplicaPolicy]) -> None:
        """Find out which replicas answer at all, for ever."""
        ...

    async def routers_readiness(self) -> Sequence[Mapping[str, bool]]:
        """Return the readiness by tier of every router of the service. Errors of Serve are raised."""
        ...

    @property
    def running_routers(self) -> frozenset[str]:
        """The ids of the replicas of the routers that ran when Serve was last asked."""
        ...

    async def ask_routers(self, question: str, *arguments: Any) -> Heard:
        """Call the method `question` of every router. Errors of Serve are raised where none can be asked."""
        ...

    async def exchange_counts(self, tables: list[Table]) -> Sequence[Sequence[Table]]:
        """Give every router of the service the counts of keys in `tables`, and return those of each. Errors raise."""
        ...

    async def is_exposed(self) -> bool:
        """Return whether other machines can reach the HTTP port of the service. Errors of Serve are raised."""
        ...

    def replicas_of(self, application: DeployedApplication) -> ModelReplicas:
        """Return the way to the replicas of the model or pool of `application`."""
        ...


class Registry:
    """All models and the backup, refreshed by `watch`. Readers see the last state that Serve gave."""

    def __init__(self, cluster: ClusterView, backup: ModelReplicas) -> None:
        self._cluster = cluster
        self._applications: dict[str, RegisteredModel] = {}
        self._members: dict[str, RegisteredModel] = {}
        # Taken for running until Serve has been asked: a router that cannot ask must still try the backup.
        self.backup = RegisteredModel(
            DeployedApplication(cluster.own_application, "", "", 1, 0, 0.0), backup, last=True
        )
        self._spaces: dict[str, str] = {}
        self._trouble = ""
        self._refreshed = -math.inf
        self._looked: float | None = None
        self._first_look = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """All models by name: those with an application of their own, and those in pools."""
        own = {name: entry for name, entry in self._applications.items() if not entry.application.pool}
        return {**self._members, **own}

    def find(self, model: str) -> RegisteredModel | Unreachable:
        """Return the model of that name; where two have it, the one with an application of its own."""
        own = self._applications.get(model)
        if own is not None and not own.application.pool:
            return own
        if (member := self._members.get(model)) is not None:
            return member
        if self.has_seen:
            return Unreachable(UNKNOWN_MODEL)
        return _NOT_SEEN if self.has_looked else _NOT_LOOKED

    def space_of(self, model: str) -> str:
        """Return the vector space of that model; empty where its answers are no vectors, or it is not known."""
        entry = self._applications.get(model)
        if entry is not None and entry.running and "space" in entry.described:
            return str(entry.described["space"])  # of what runs: Serve tells that of what is to run, and may never
        return self._spaces.get(model, "")

    def knows(self, model: str) -> bool:
        """Return whether there is a model of that name, in whatever state."""
        return model in self._members or (
            model in self._applications and not self._applications[model].application.pool
        )

    @property
    def has_spaces(self) -> bool:
        """Whether any model gives vectors."""
        return bool(self._spaces)

    async def watch(self, interval_s: Callable[[], float]) -> None:
        """Refresh now, and then every `interval_s()` seconds for ever; sooner after `hurry`."""
        clock = asyncio.get_running_loop().time
        while True:
            self._looked = clock()
            await self.refresh()
            self._looked = clock()
            soonest = HURRIED_S if self._hurry.is_set() else interval_s()
            self._hurry.clear()
            await asyncio.sleep(min(HURRIED_S, soonest))
            with suppress(TimeoutError):  # a request that waits from now on ends the rest of the pause
                async with asyncio.timeout(max(0.0, soonest - HURRIED_S)):
                    await self._hurry.wait()

    def hurry(self) -> None:
        """Make the pauses of `watch` short ones: a request waits for a model to become ready."""
        self._hurry.set()

    @property
    def has_seen(self) -> bool:
        """Whether Serve has been asked successfully: before that, nobody knows which models there are."""
        return math.isfinite(self._refreshed)

    @property
    def has_looked(self) -> bool:
        """Whether Serve has been asked once, successfully or not."""
        return self._first_look.is_set()

    async def first_look(self, until: float) -> None:
        """Wait for the end of the first refresh, successful or not, at most until `until` on the loop's clock.

        Models that are asked for before that are refused as not ready yet.
        """
        if not self._first_look.is_set():
            loop = asyncio.get_running_loop()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(max(until, loop.time())):
                    await self._first_look.wait()

    def readiness_of(self, candidate: Candidate) -> Readiness:
        """Return whether a replica of `candidate` can take a request now, soon or never."""
        return (self.backup if candidate.tier is Tier.BACKUP else self.find(candidate.model)).readiness

    def features_of(self, candidate: Candidate) -> Collection[str] | None:
        """Return the features of requests that `candidate` has; `None` where no replica of it has described itself."""
        entry = self.backup if candidate.tier is Tier.BACKUP else self.find(candidate.model)
        if not isinstance(entry, RegisteredModel) or entry.state != "ready":
            return None
        features: Collection[str] = entry.described.get("features", ())
        return features

    async def refresh(self) -> None:
        """Ask Serve once, then the replicas that Serve names. Where that fails, the known state stays."""
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
        """Return the seconds since `watch` last began or ended a refresh, successful or not; 0 before the first."""
        return 0.0 if self._looked is None else asyncio.get_running_loop().time() - self._looked

    @property
    def trouble(self) -> str:
        """The reason why Serve could not be asked at the last refresh; empty where it answered."""
        return self._trouble

    def age_s(self) -> float:
        """Return the seconds since Serve last answered; infinite before the first time."""
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
        self._spaces = _spaces_of([entry.application for entry in self._applications.values()])

    def _entry(self, application: DeployedApplication, known: RegisteredModel | None) -> RegisteredModel:
        if known is not None and known.application.built:
            # While Serve builds a new version, and after a build that failed, it does not list the replicas of the old
            # version, which serve on.
            return known.renewed(application if application.built else application.serving_as(known.application))
        if application.built:
            return RegisteredModel(application, self._cluster.replicas_of(application))
        return RegisteredModel(application, Unreachable(application.message))

    def _take_over_members(self) -> None:
        """Take over the models that a replica of each pool described; a pool without a description keeps its models."""
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
            # The states of its models change without a deployment, so a replica is asked at each refresh.
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
        """Log that Serve cannot be asked: once for each new reason, not at each refresh."""
        if trouble and trouble != self._trouble:
            log.discovery_failed(trouble)
        self._trouble = trouble


_NOT_LOOKED = Unreachable(NOT_LOOKED, soon=True)
_NOT_SEEN = Unreachable("not ready: this router cannot ask which models there are")


def _spaces_of(applications: Iterable[DeployedApplication]) -> dict[str, str]:
    """Return the vector space of every model that has one; an application of its own goes before a pool."""
    spaces: dict[str, str] = {}
    for application in sorted(applications, key=lambda each: not each.pool):
        theirs = application.offer.spaces if application.offer is not None else {}
        spaces |= theirs if application.pool else {application.name: ""} | dict(theirs)
    return {model: space for model, space in spaces.items() if space}


def _tell_found(models: Iterable[str]) -> None:
    for model in sorted(models):
        log.model_found(model)
