"""The options that Serve deploys models, pools and the backup with."""

import os
from collections.abc import Sequence
from typing import Any

import ray

from deployments.ray_serve.autoscaling import REPORT_INTERVAL_S
from deployments.settings import ModelSpec, ServerSpec, ServingSpec
from deployments.settings.applications import DIGEST_VARIABLE
from deployments.settings.credentials import credentials
from deployments.settings.offer import Offer

START_ATTEMPTS = 2
"""Replicas of a version that may fail to start, one after the other, before Serve takes the version for failed. The
first failure may be an accident."""

_ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
"""Variables of replicas: Serve runs our code on its own event loop. With a thread for it, Serve would put an unbounded
queue between the two, in which a stream that nobody reads piles up. Code that computes or may block has threads of this
project's own: see `generation` and `formats.user_loop`."""

READINESS_TOLD_S = 1.0
"""Seconds between the times at which routers hear which replicas take requests, where these may load again. Until then,
and where all of them load, requests come to such a replica, and wait there for a moment: see `watched_router`."""

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
"""Serve's own log in every process. At a lower level it makes a line for each request before it finds that no handler
wants it."""

HEALTH = {"health_check_period_s": 2, "health_check_timeout_s": 10}
"""The period and the timeout of Serve's health checks, in seconds. A replica that fails three in a row is replaced
within seconds; one that is silent within half a minute, as on a busy machine a well one may be silent for seconds.
Until then routers go round it by themselves."""


def model_options(
    spec: ServingSpec, digest: str, *, untrusted: bool, models: Sequence[ModelSpec] = ()
) -> dict[str, Any]:
    """All options of the deployment of a model or a pool.

    Args:
        spec: how it is served.
        digest: the digest of the files that say so.
        untrusted: the deployment loads files that might run code, and gets no credentials in its environment.
        models: the models of the deployment: routers have to know what they offer even while none is loaded.
    """
    options = {**replica_counts(spec), **replica_options(spec, cluster_gpus(), untrusted=untrusted)}
    if spec.replicas.max > 1 and any(isinstance(model, ServerSpec) for model in models):
        options["request_router_config"] = {"request_routing_stats_period_s": READINESS_TOLD_S}
    variables = options["ray_actor_options"]["runtime_env"]["env_vars"]
    variables |= {DIGEST_VARIABLE: digest, **Offer.of(models).to_variables()}
    return options


def backup_options(spec: ServingSpec, digest: str) -> dict[str, Any]:
    """All options of the backup's deployment, which is scaled ahead of its queue.

    Args:
        spec: how it is served.
        digest: the digest of the files that say so.
    """
    options = model_options(spec, digest, untrusted=False)
    if "autoscaling_config" in options:
        options["autoscaling_config"] |= {
            "policy": {"policy_function": "deployments.ray_serve.autoscaling:scale_ahead"},
            "upscale_delay_s": 0,
            "metrics_interval_s": REPORT_INTERVAL_S,
        }
    return options


def replica_counts(spec: ServingSpec) -> dict[str, Any]:
    """A fixed number of replicas, or autoscaling."""
    if spec.replicas.min == spec.replicas.max:
        return {"num_replicas": spec.replicas.min}
    return {"autoscaling_config": autoscaling_config(spec)}


def replica_options(spec: ServingSpec, gpus: float, *, untrusted: bool = False) -> dict[str, Any]:
    """Options of the replicas of a model, a pool or the backup.

    Args:
        spec: how it is served.
        gpus: GPUs the cluster has. `device: auto` takes one only where there are any: a replica that asks for a
            resource that no node has waits for ever.
        untrusted: see `model_options`.
    """
    withheld = dict.fromkeys(credentials(os.environ), "") if untrusted else {}
    actor: dict[str, Any] = {"num_cpus": spec.num_cpus, "runtime_env": {"env_vars": {**_ONE_LOOP, **withheld}}}
    if spec.device == "cuda" or (spec.device == "auto" and gpus > 0):
        actor["num_gpus"] = spec.num_gpus
    return {
        "ray_actor_options": actor,
        "max_ongoing_requests": spec.max_ongoing_requests,
        # Serve counts a request as queued until a replica has accepted it, though one may have room: with a smaller
        # number, a burst that the replicas have room for would be refused.
        "max_queued_requests": spec.max_queued_requests + spec.max_ongoing_requests * spec.replicas.max,
        "max_constructor_retry_count": START_ATTEMPTS,
        "graceful_shutdown_timeout_s": spec.replicas.drain_seconds,
        "logging_config": LOGGING,
        **HEALTH,
        **placement(spec.replicas.per_node, surge=spec.replicas.surge),
    }


def placement(per_node: int | None, *, surge: bool = True) -> dict[str, Any]:
    """How many replicas a node may hold, and whether a new version starts beside the old one.

    Without a surge Serve stops the only replica before its successor has loaded. But old and new replicas, and those
    that drain, count together for a node: where there are no more nodes than replicas, a surge would never end.
    """
    if per_node is None:
        return {"max_surge_percent": 100 if surge else 0}
    return {"max_surge_percent": 0, "max_replicas_per_node": per_node}


def autoscaling_config(spec: ServingSpec) -> dict[str, Any]:
    """Serve's autoscaling between `replicas.min` and `replicas.max`, by the requests that are under way."""
    return {
        "min_replicas": spec.replicas.min,
        "max_replicas": spec.replicas.max,
        "target_ongoing_requests": max(1, spec.max_ongoing_requests // 2),
        "upscale_delay_s": 2,
        "downscale_delay_s": spec.replicas.idle_seconds,
        "metrics_interval_s": 1,
        "look_back_period_s": 5,
    }


def cluster_gpus() -> float:
    """GPUs that the cluster has now; none where this process is not connected to one."""
    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0
