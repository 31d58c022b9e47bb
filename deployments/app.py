"""Builds the applications that a Serve config names, and binds the plain classes of the service to Serve.

May import: settings, formats, ray_serve, replica, router, http and Ray.

    deployments.app:build         application "neverblank": the routers and the backup
    deployments.app:build_model   one application a model; its name is the model's id
    deployments.app:build_pool    one application for many small models that share its replicas
"""

import gc
from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from deployments.formats import ServedModel
from deployments.http.asgi import build_asgi
from deployments.http.protocol import use_protocol
from deployments.ray_serve.cluster import ServeCluster
from deployments.ray_serve.names import (
    BACKUP_DEPLOYMENT,
    MODEL_DEPLOYMENT,
    POOL_DEPLOYMENT,
    ROUTER_DEPLOYMENT,
)
from deployments.ray_serve.options import HEALTH, LOGGING, backup_options, model_options, placement
from deployments.replica.backup import BackupReplica
from deployments.replica.multiplexed import Load, PoolReplica
from deployments.replica.replica import ModelReplica
from deployments.router.router import Router
from deployments.settings import (
    ModelSpec,
    PolicySettings,
    SettingsError,
    digest,
    load,
    parse,
    read_backup_spec,
    read_model_spec,
    read_pool_spec,
)
from deployments.settings.applications import AppArguments, ModelArguments, PoolArguments
from deployments.settings.files import cache_folder

_MARGIN_S = 10.0
"""Seconds that a router has to drain beyond its longest request: Serve looks every two seconds whether it is idle."""


class RouterDeployment(Router):
    """The router as a deployment that Serve sends HTTP requests to."""

    def __init__(self, backup: DeploymentHandle, backup_name: str, policy: PolicySettings) -> None:
        """Route to the models of this Serve instance.

        Args:
            backup: a handle to the backup's deployment.
            backup_name: what answers call the backup.
            policy: the base that the `user_config` is laid over.
        """
        own = serve.get_replica_context()
        cluster = ServeCluster(own.app_name, own.replica_tag)
        super().__init__(cluster, cluster.reach(backup, backup_name), backup_name, policy)

    async def reconfigure(self, user_config: Mapping[str, Any] | None) -> None:  # type: ignore[override] # for Serve only
        """Take over a `user_config` on the event loop. Serve would call a plain method in a thread.

        Raises:
            SettingsError: the `user_config` is not valid; the policy in force stays.
        """
        Router.reconfigure(self, user_config)

    def __serve_build_asgi_app__(self) -> Any:
        """The router's ASGI application. Serve calls this once, when the router is built and no HTTP server is yet."""
        use_protocol()
        _spare_garbage_collector()
        return build_asgi(self)


class PoolDeployment(PoolReplica):
    """A pool whose models are kept by Serve's multiplexing."""

    def __init__(self, specs: Sequence[ModelSpec], cache: str, models_per_replica: int, stall_s: float) -> None:
        """Load nothing yet.

        Args:
            specs: of the models, each with an id of its own.
            cache: the cache folder's absolute path on this node.
            models_per_replica: how many models are held at a time; the one asked least recently makes room.
            stall_s: seconds after which work that does not advance fails the health check.
        """

        def keep(load: Load) -> Load:
            async def get(name: str) -> ServedModel:
                return await load(name)

            kept: Load = serve.multiplexed(get, max_num_models_per_replica=models_per_replica)
            return kept

        super().__init__(specs, cache, keep=keep, asked=serve.get_multiplexed_model_id, stall_s=stall_s)


def build(args: Mapping[str, Any]) -> Application:
    """The application of the routers and the backup.

    Args:
        args: `AppArguments` as a mapping, from the Serve config.

    Raises:
        SettingsError: the arguments or one of the files they name are not valid.
    """
    arguments = parse(AppArguments, args, "serve_config: neverblank: args")
    policy: PolicySettings = load(PolicySettings, arguments.policy)
    backup = read_backup_spec(arguments.backup)
    # The backup scales apart from the routers, and never below one replica: it must be there before it is needed.
    options = backup_options(backup, digest(*arguments.files))
    bound = serve.deployment(BackupReplica, name=BACKUP_DEPLOYMENT, **options).bind(backup, cache_folder())
    router = serve.deployment(
        serve.ingress()(RouterDeployment),
        name=ROUTER_DEPLOYMENT,
        num_replicas=arguments.routers,
        # The router refuses by its own rules; Serve's default of 5 requests would refuse long before.
        max_ongoing_requests=4096,
        ray_actor_options={"num_cpus": 0.1},
        **placement(arguments.routers_per_node),
        # It ends as soon as nothing is under way. A shorter time would cut streams at every update.
        graceful_shutdown_timeout_s=policy.longest_seconds + _MARGIN_S,
        logging_config=LOGGING,
        **HEALTH,
    )
    return router.bind(bound, backup.name, policy)


def build_model(args: Mapping[str, Any]) -> Application:
    """The application of one model.

    Args:
        args: `ModelArguments` as a mapping, from the Serve config.

    Raises:
        SettingsError: the arguments or the spec are not valid.
    """
    arguments = parse(ModelArguments, args, "serve_config: model: args")
    spec = read_model_spec(arguments.spec)
    if spec.multiplexed:
        accepted = "false, or its file in a pool's (deployments.app:build_pool)"
        raise SettingsError(arguments.spec, "multiplexed", "is true in an application of its own", accepted)
    options = model_options(spec, digest(*arguments.files), untrusted=spec.untrusted, models=(spec,))
    return serve.deployment(ModelReplica, name=MODEL_DEPLOYMENT, **options).bind(spec, cache_folder())


def build_pool(args: Mapping[str, Any]) -> Application:
    """The application of many small models in shared replicas.

    If the file of one of them might run code, no replica of the pool gets credentials.

    Args:
        args: `PoolArguments` as a mapping, from the Serve config.

    Raises:
        SettingsError: the arguments, the pool's file or one of the specs are not valid.
    """
    arguments = parse(PoolArguments, args, "serve_config: pool: args")
    pool, specs = read_pool_spec(arguments.pool)
    untrusted = any(spec.untrusted for spec in specs)
    options = model_options(pool, digest(*arguments.files), untrusted=untrusted, models=specs)
    return serve.deployment(PoolDeployment, name=POOL_DEPLOYMENT, **options).bind(
        specs, cache_folder(), pool.models_per_replica, pool.stall_seconds
    )


def _spare_garbage_collector() -> None:
    """Keep the objects that exist now, mostly modules, out of garbage collections, and have those start less often.

    A request makes hundreds of objects and frees them when it ends. Until then they count as possible garbage: sixteen
    requests at a time start one collection after the other, and some collections look through every module.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION)


_OBJECTS_A_COLLECTION = 10_000
"""New objects that start a collection; they take a few megabytes at most."""
