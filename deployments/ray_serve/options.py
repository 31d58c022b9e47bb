"""Serve's options for deployments: the only place that knows them."""

import os
from typing import Any

import ray

from deployments.formats.credentials import credentials
from deployments.ray_serve.autoscaling import INTERVAL_S
from deployments.settings import ServingSpec
from deployments.settings.applications import DIGEST_VARIABLE

START_ATTEMPTS = 2
"""Replicas of a version that may fail to start, in a row, before it counts as failed: one may be an accident."""

_NO_QUEUE = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
"""For replicas: between a thread of Serve's and the replica's loop is a queue without bounds, in which a stream that
nobody reads would pile up. What computes or may block has threads of our own: `generation`, `formats.user_loop`."""

LOGGING = {"log_level": "WARNING", "enable_access_log": False}
"""Of Serve's own lines in every process. It makes one for each request, and only then finds that nobody wants it."""

HEALTH = {"health_check_period_s": 2, "health_check_timeout_s": 10}


def model_options(spec: ServingSpec, digest: str, *, untrusted: bool) -> dict[str, Any]:
    """All options of the deployment of a model or a pool.

    Args:
        spec: how it is served.
        digest: of the files that say so.
        untrusted: it loads files that might run code, and gets no credentials in its environment.
    """
    options = {**replica_counts(spec), **replica_options(spec, cluster_gpus(), untrusted=untrusted)}
    options["ray_actor_options"]["runtime_env"]["env_vars"][DIGEST_VARIABLE] = digest
    return options


def backup_options(spec: ServingSpec, digest: str) -> dict[str, Any]:
    """All options of the backup's deployment, which is scaled ahead of its queue; see `model_options`."""
    options = model_options(spec, digest, untrusted=False)
    if "autoscaling_config" in options:
        options["autoscaling_config"] |= {
            "policy": {"policy_function": "deployments.ray_serve.autoscaling:scale_ahead"},
            "upscale_delay_s": 0,
            "metrics_interval_s": INTERVAL_S,
        }
    return options


def replica_counts(spec: ServingSpec) -> dict[str, Any]:
    """A fixed number of replicas, or autoscaling."""
    if spec.replicas.min == spec.replicas.max:
        return {"num_replicas": spec.replicas.min}
    return {"autoscaling_config": autoscaling(spec)}


def replica_options(spec: ServingSpec, gpus: float, *, untrusted: bool = False) -> dict[str, Any]:
    """Options of its replicas.

    Args:
        spec: how it is served.
        gpus: GPUs the cluster has; `device: auto` takes one only where there are any, as a replica that asks for what
            no node has waits for ever.
        untrusted: see `model_options`.
    """
    withheld = dict.fromkeys(credentials(os.environ), "") if untrusted else {}
    actor: dict[str, Any] = {"num_cpus": spec.num_cpus, "runtime_env": {"env_vars": {**_NO_QUEUE, **withheld}}}
    if spec.device == "cuda" or (spec.device == "auto" and gpus > 0):
        actor["num_gpus"] = spec.num_gpus
    return {
        "ray_actor_options": actor,
        "max_ongoing_requests": spec.max_ongoing_requests,
        # Serve counts as queued what no replica has accepted yet, though one may have room: a burst that the replicas
        # can take would be refused.
        "max_queued_requests": spec.max_queued_requests + spec.max_ongoing_requests * spec.replicas.max,
        # Without a surge Serve stops the only replica before its successor has loaded.
        "max_surge_percent": 100 if spec.replicas.surge else 0,
        "max_constructor_retry_count": START_ATTEMPTS,
        "graceful_shutdown_timeout_s": 10,
        "logging_config": LOGGING,
        **HEALTH,
    }


def autoscaling(spec: ServingSpec) -> dict[str, Any]:
    """Serve's autoscaling settings between `replicas.min` and `replicas.max`."""
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
    """GPUs the cluster has now."""
    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0
