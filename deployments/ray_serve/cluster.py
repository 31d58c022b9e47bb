"""The running Serve instance as a router sees it: which applications there are, and how each is reached."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ray import serve
from ray.serve._private.api import _get_global_client
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus, ReplicaState

from deployments.policy.responsiveness import ReplicaPolicy
from deployments.ray_serve.dashboard import routers_of
from deployments.ray_serve.errors import last_line
from deployments.ray_serve.handle import ServeReplicas
from deployments.ray_serve.names import BACKUP_DEPLOYMENT, MODEL_DEPLOYMENT, POOL_DEPLOYMENT, ROUTER_DEPLOYMENT
from deployments.ray_serve.replica_watch import ReplicaWatch
from deployments.ray_serve.routers import ASK_ROUTERS_S, Heard, ask_each
from deployments.ray_serve.watched_router import watched
from deployments.settings.applications import is_loopback
from deployments.settings.offer import NO_OFFER, Offer


@dataclass(frozen=True, slots=True)
class DeployedApplication:
    """The deployment of an application that answers requests (a model, a pool or the backup), as Serve describes it.

    Attributes:
        name: the application's.
        status: such as `RUNNING`, `DEPLOYING`, `DEPLOY_FAILED`.
        message: Serve's own explanation; empty where all is well.
        running: replicas that take requests.
        starting: replicas that do not take requests yet.
        deployed_at: changes with every deployment.
        actors: ids of the running replicas' actors, in hexadecimal digits.
        built: it has a deployment that can be called; an application that failed to build has none.
        pool: it serves several models.
        loading: names of the actors of replicas that do not take requests yet.
        offer: what its models offer; `None` where that is not known, as it is not built yet.
        hosts: the addresses of the hosts of the running replicas.
        all_hosts: those of all hosts of the cluster that have a replica of anything, or a proxy.
        starting_since: when the first of the starting replicas was started, in seconds since 1970; 0 if none starts.
    """

    name: str
    status: str
    message: str
    running: int
    starting: int
    deployed_at: float
    actors: frozenset[str] = frozenset()
    built: bool = True
    pool: bool = False
    loading: tuple[str, ...] = ()
    offer: Offer | None = NO_OFFER
    starting_since: float = 0.0
    hosts: frozenset[str] = frozenset()
    all_hosts: frozenset[str] = frozenset()

    def serving_as(self, earlier: "DeployedApplication") -> "DeployedApplication":
        """Return a copy with this status and the replicas of `earlier`."""
        return replace(
            self,
            running=earlier.running,
            starting=earlier.starting,
            actors=earlier.actors,
            built=earlier.built,
            pool=earlier.pool,
            offer=earlier.offer,
            starting_since=earlier.starting_since,
            hosts=earlier.hosts,
            all_hosts=earlier.all_hosts,
        )

    @property
    def idle(self) -> bool:
        """Whether it is scaled to zero: it is well, and has no replica and starts none."""
        return self.status == "RUNNING" and not self.running and not self.starting


class ServeCluster:
    """The running Serve instance."""

    def __init__(self, own_application: str, own_replica: str) -> None:
        """Look at the Serve instance of this process; `own_application` and `own_replica` are the router's own."""
        self._own, self._replica = own_application, own_replica
        self._watch = ReplicaWatch()
        self._id = _service_id(own_application, own_replica)
        # By the names of applications that are not built: when they were deployed, and what their files say.
        self._declared: dict[str, tuple[float, Offer | None]] = {}
        self._finding: asyncio.Future[Any] | None = None
        self._finder = ThreadPoolExecutor(1, thread_name_prefix="find-controller")
        self._running_routers: frozenset[str] = frozenset()

    async def applications(self) -> dict[str, DeployedApplication]:
        """The applications of all models and pools by their names, and the router's own, which stands for the backup.

        Raises whatever Serve raises when it cannot be asked.
        """
        client = await self._client()
        # Private to Serve: see tests/ray_serve/contract.py. `serve.status()` validates the whole configuration of each
        # application, which takes a router 8 ms of computing for each; this takes less than 1 ms. It can be given up.
        details: dict[str, Any] = await client._controller.get_serve_instance_details.remote()  # noqa: SLF001
        self._running_routers = frozenset(routers_of(details))
        return await self._with_offers(read_applications(details, self._own), details["applications"])

    def replicas_of(self, application: DeployedApplication) -> ServeReplicas:
        """Return the replicas of the model or the pool of `application`."""
        deployment = POOL_DEPLOYMENT if application.pool else MODEL_DEPLOYMENT
        # It is known to exist, and to have that checked would block the event loop until the controller answers.
        handle = serve.get_deployment_handle(deployment, app_name=application.name, _check_exists=False)
        return self.reach(handle, application.name)

    def reach(self, handle: DeploymentHandle, name: str) -> ServeReplicas:
        """Return the replicas behind `handle`, watched; `name` is what log lines call them."""
        return ServeReplicas(handle, name, self._watch, watched(handle, name, self._watch))

    async def watch_replicas(self, policy: Callable[[], ReplicaPolicy]) -> None:
        """Find out which replicas answer at all, for ever; see `policy.responsiveness`."""
        await self._watch.run(policy)

    async def routers_readiness(self) -> Sequence[Mapping[str, bool]]:
        """Return the readiness by tier of each router. Raises whatever Serve raises where one cannot be asked."""
        routers = await self._routers()
        answers: list[Mapping[str, bool]] = await routers.broadcast("ready").results_async(timeout_s=ASK_ROUTERS_S)
        return answers

    async def ask_routers(self, question: str, *arguments: Any) -> Heard:
        """Call the method `question` of every router with `arguments`; see `ask_each`."""
        return await ask_each(await self._routers(), question, *arguments)

    @property
    def running_routers(self) -> frozenset[str]:
        """The ids of the replicas of the routers that ran when Serve was last asked."""
        return self._running_routers

    async def exchange_counts(self, tables: list[dict[str, Any]]) -> Sequence[Sequence[dict[str, Any]]]:
        """Give all routers what this one has counted of the keys, and return what each has. Errors of Serve raise."""
        told = (await self._routers()).broadcast("exchange_counts", tables)
        answers: list[Sequence[dict[str, Any]]] = await told.results_async(timeout_s=ASK_ROUTERS_S)
        return answers

    async def is_exposed(self) -> bool:
        """Return whether the HTTP port of this Serve instance is bound to an address that other machines can reach."""
        client = await self._client()
        options = await client._controller.get_http_config.remote()  # noqa: SLF001 - as in `applications`
        return not is_loopback(options.host)

    async def _with_offers(
        self, found: dict[str, DeployedApplication], facts: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, DeployedApplication]:
        """Return `found` with what the applications will offer that are not built: by their files, each read once."""
        unbuilt = {name: application for name, application in found.items() if application.offer is None}
        declared = {name: known for name, known in self._declared.items() if name in unbuilt}
        for name, application in unbuilt.items():
            if name not in declared or declared[name][0] != application.deployed_at:
                config = facts[name].get("deployed_app_config") or {}
                declared[name] = application.deployed_at, await asyncio.to_thread(Offer.declared_by, config)
        self._declared = declared
        return found | {name: replace(unbuilt[name], offer=offer) for name, (_, offer) in declared.items()}

    @property
    def service_id(self) -> str:
        """An id that all routers of the service share, and no other service has: made of its controller's.

        Until the controller is found it is that of this router alone: requests do not wait for Serve.
        """
        return self._id

    @property
    def own_application(self) -> str:
        """The name of the router's own application."""
        return self._own

    @property
    def own_replica(self) -> str:
        """The id of the router's own replica, by which Serve's details name it."""
        return self._replica

    async def _routers(self) -> DeploymentHandle:
        """Return a handle to the routers."""
        await self._client()  # without it, the next line would wait for the controller on the event loop
        return serve.get_deployment_handle(ROUTER_DEPLOYMENT, app_name=self._own, _check_exists=False)

    async def _client(self) -> Any:
        """Return Serve's client, found in a thread: where it is not known yet, Serve waits for the controller's answer.

        A controller that does not answer keeps one thread, which nothing else needs: a second search begins only when
        the first has ended.

        Raises:
            RayServeException: there is no controller.
        """
        if self._finding is None or self._finding.done():
            self._finding = asyncio.get_running_loop().run_in_executor(self._finder, self._find)
            self._finding.add_done_callback(_retrieved)
        return await asyncio.shield(self._finding)

    def _find(self) -> Any:
        """Find Serve's client, and learn the service's id.

        Private to Serve and Ray: see tests/ray_serve/test_contract.py.
        """
        client = _get_global_client()
        self._id = _service_id(self._own, client._controller._actor_id.hex())  # noqa: SLF001
        return client


def _service_id(application: str, known_by: str) -> str:
    return blake2b(f"{application}/{known_by}".encode(), digest_size=12).hexdigest()


def _retrieved(finding: "asyncio.Future[Any]") -> None:
    """Retrieve the error of a search: whoever waited for it may have given up, and the next look searches again."""
    if not finding.cancelled():
        finding.exception()


def read_applications(details: Mapping[str, Any], own: str) -> dict[str, DeployedApplication]:
    """The applications of models and pools in `details`, and the one named `own`, of which the backup is read.

    Args:
        details: `ray.serve.schema.ServeInstanceDetails` as JSON.
        own: the router's own application.
    """
    found = {}
    hosts = _all_hosts(details)
    for name, facts in details["applications"].items():
        kinds = (BACKUP_DEPLOYMENT,) if name == own else (MODEL_DEPLOYMENT, POOL_DEPLOYMENT)
        kind = next((kind for kind in kinds if kind in facts["deployments"]), "")
        # An application that failed to build has no deployments: it was meant to be a model.
        if kind or not facts["deployments"]:
            found[name] = _application(name, facts, kind, hosts)
    return found


def _all_hosts(details: Mapping[str, Any]) -> frozenset[str]:
    deployments = [each for facts in details["applications"].values() for each in facts["deployments"].values()]
    replicas = [replica for each in deployments for replica in each["replicas"]]
    return frozenset(map(_host, [*replicas, *(details.get("proxies") or {}).values()])) - {""}


def _host(facts: Mapping[str, Any]) -> str:
    return str(facts.get("node_ip") or "")


def _application(name: str, facts: Mapping[str, Any], kind: str, hosts: frozenset[str]) -> DeployedApplication:
    deployment: Mapping[str, Any] | None = facts["deployments"].get(kind)
    replicas = deployment["replicas"] if deployment else ()
    states = Counter(ReplicaState(replica["state"]) for replica in replicas)
    # Where a deployment has failed, the application's own message says no more than that.
    message = (deployment and deployment["message"]) or facts["message"]
    return DeployedApplication(
        name=name,
        status=ApplicationStatus(facts["status"]).value,
        message=last_line(message),
        running=states[ReplicaState.RUNNING],
        starting=states[ReplicaState.STARTING],
        deployed_at=facts["last_deployed_time_s"],
        actors=frozenset(replica["actor_id"] for replica in replicas if replica["state"] == ReplicaState.RUNNING.value),
        built=deployment is not None,
        pool=kind == POOL_DEPLOYMENT,
        loading=tuple(
            str(replica["actor_name"])
            for replica in replicas
            if replica["state"] == ReplicaState.STARTING.value and replica.get("actor_name")
        ),
        offer=_offer(deployment) if deployment else None,
        hosts=frozenset(_host(replica) for replica in replicas if replica["state"] == ReplicaState.RUNNING.value)
        - {""},
        all_hosts=hosts,
        starting_since=min(
            (
                replica.get("start_time_s") or 0.0
                for replica in replicas
                if replica["state"] == ReplicaState.STARTING.value
            ),
            default=0.0,
        ),
    )


def _offer(deployment: Mapping[str, Any]) -> Offer:
    """Return what the models of a deployment offer, as `options.model_options` has left it."""
    actor = deployment.get("deployment_config", {}).get("ray_actor_options") or {}
    return Offer.from_variables((actor.get("runtime_env") or {}).get("env_vars", {}))
