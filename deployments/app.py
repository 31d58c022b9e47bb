"""Builds the Serve applications: the only place that knows deployment options.

deployments.app:build         application "neverblank": Router and Backup
deployments.app:build_model   one application a model; its name is the model's id
"""

import os
from collections.abc import Mapping
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from deployments.backup import BackupReplica
from deployments.calls import (
    BACKUP_DEPLOYMENT,
    MODEL_DEPLOYMENT,
    ROUTER_DEPLOYMENT,
    ServeCaller,
    ServeCluster,
)
from deployments.formats.credentials import credentials
from deployments.model import ModelReplica
from deployments.router import Router
from deployments.settings import (
    FileSpec,
    PolicySettings,
    ServingSpec,
    load,
    load_backup,
    load_model,
    parse,
    resolve,
)
from deployments.settings.base import Settings, Text

APPLICATION = "neverblank"

_NO_QUEUE = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
"""For replicas: between a thread of Serve's and the replica's loop is a queue without bounds, in which a stream that
nobody reads would pile up. What computes or may block has threads of our own: `generation`, `formats.user_loop`."""


class AppArguments(Settings):
    """The `args` of the application `neverblank`."""

    policy: Text = "configs/policy.yaml"
    backup: Text = "configs/backup.yaml"
    routers: int = 2
    digest: str = ""


class ModelArguments(Settings):
    """The `args` of a model's application. `digest` changes when the spec does: Serve compares `args` only."""

    spec: Text
    digest: str = ""


class RouterDeployment(Router):
    """The router, with what Serve asks of an ingress."""

    def __init__(self, backup: DeploymentHandle, backup_name: str, policy: PolicySettings) -> None:
        """Route to `backup` and to the models of this Serve instance."""
        cluster = ServeCluster(serve.get_replica_context().app_name)
        super().__init__(cluster, ServeCaller(backup, backup_name), backup_name, policy)

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Serve once the router has been built."""
        return self.asgi


def build(args: Mapping[str, Any]) -> Application:
    """The router and the backup.

    Raises:
        SettingsError: the arguments or one of the files they name are not valid.
    """
    arguments = parse(AppArguments, args, "serve_config: neverblank: args")
    policy: PolicySettings = load(PolicySettings, arguments.policy)
    backup = load_backup(arguments.backup)
    # Autoscaled on its own and never below one replica: the backup must be there before it is needed.
    bound = serve.deployment(
        BackupReplica,
        name=BACKUP_DEPLOYMENT,
        autoscaling_config=autoscaling(backup),
        **replica_options(backup, _cluster_gpus()),
    ).bind(backup, cache_folder())
    router = serve.deployment(
        serve.ingress()(RouterDeployment),
        name=ROUTER_DEPLOYMENT,
        num_replicas=arguments.routers,
        # The router refuses by its own rules; Serve's default of 5 would refuse long before.
        max_ongoing_requests=4096,
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=20,
    )
    return router.bind(bound, backup.name, policy)


def build_model(args: Mapping[str, Any]) -> Application:
    """One model.

    Raises:
        SettingsError: the arguments or the spec are not valid.
    """
    arguments = parse(ModelArguments, args, "serve_config: model: args")
    spec = load_model(arguments.spec)
    replicas = (
        {"num_replicas": spec.replicas.min}
        if spec.replicas.min == spec.replicas.max
        else {"autoscaling_config": autoscaling(spec)}
    )
    deployment = serve.deployment(
        ModelReplica, name=MODEL_DEPLOYMENT, **replicas, **replica_options(spec, _cluster_gpus())
    )
    return deployment.bind(spec, cache_folder())


def replica_options(spec: ServingSpec, cluster_gpus: float) -> dict[str, Any]:
    """Serve's options for the replicas of `spec`.

    Args:
        spec: what is served.
        cluster_gpus: GPUs the cluster has; `device: auto` takes one only where there are any, as a replica
            that asks for what no node has waits for ever.
    """
    withheld = dict.fromkeys(credentials(os.environ), "") if isinstance(spec, FileSpec) else {}
    actor: dict[str, Any] = {"num_cpus": spec.num_cpus, "runtime_env": {"env_vars": {**_NO_QUEUE, **withheld}}}
    if spec.device == "cuda" or (spec.device == "auto" and cluster_gpus > 0):
        actor["num_gpus"] = spec.num_gpus
    return {
        "ray_actor_options": actor,
        "max_ongoing_requests": spec.max_ongoing_requests,
        "max_queued_requests": spec.max_queued_requests,
        "health_check_period_s": 2,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": 10,
    }


def autoscaling(spec: ServingSpec) -> dict[str, Any]:
    """Serve's autoscaling settings between `replicas.min` and `replicas.max`."""
    return {
        "min_replicas": spec.replicas.min,
        "max_replicas": spec.replicas.max,
        "target_ongoing_requests": max(1, spec.max_ongoing_requests // 2),
        "upscale_delay_s": 2,
        "downscale_delay_s": 60,
        "metrics_interval_s": 1,
        "look_back_period_s": 5,
    }


def cache_folder() -> str:
    """The cache's absolute path: `NEVERBLANK_CACHE`, else `cache/` below the project's root."""
    return os.environ.get("NEVERBLANK_CACHE") or str(resolve("cache"))


def _cluster_gpus() -> float:
    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0
