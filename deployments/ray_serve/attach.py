"""Finds the running service from Python, or starts one.

1. Ray is already connected in this process (a Ray job, a notebook): the service of that cluster.
2. A cluster runs on this machine, or `RAY_ADDRESS` names one, and the service runs on it: that service.
3. Otherwise a local cluster is started in this process, with everything the Serve config lists. It takes no HTTP port,
   and ends with the process.
"""

import asyncio
import importlib
import os
from typing import Any

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.ray_serve.names import ADDRESS_VARIABLE, APPLICATION, ROUTER_DEPLOYMENT
from deployments.ray_serve.serve_config import list_applications, read_serve_config

_POLL_S = 0.2
_START_S = 1800.0
"""Seconds that the router and the backup have to start; the backup may have to fetch its weights first."""


def is_connected() -> bool:
    """Whether this process is connected to a cluster."""
    return bool(ray.is_initialized())


def disconnect() -> None:
    """Leave the cluster; one that was started in this process ends."""
    ray.shutdown()


async def attach_or_start(config: str) -> DeploymentHandle:
    """A handle to the router, once the service is up.

    Ray starts in the main thread, as it installs signal handlers there, and blocks the event loop for that time. What
    is waited for then, the router and the backup, blocks nobody.

    Args:
        config: the Serve config to start from where no service runs.

    Raises:
        SettingsError: the config cannot be read.
        RuntimeError: the service could not be started, or not within `_START_S`.
    """
    if not is_connected() and not _attach():
        ray.init(namespace="serve", log_to_driver=False, configure_logging=False)
    if APPLICATION not in serve.status().applications:
        _start(config)
        await _until_up()
    return serve.get_app_handle(APPLICATION)


def _attach() -> bool:
    """Connect to a running cluster and say whether that was done.

    A cluster without the service is left again, unless `RAY_ADDRESS` names it.
    """
    try:
        ray.init(address="auto", namespace="serve", log_to_driver=False, configure_logging=False)
    except ConnectionError:
        return False
    if ADDRESS_VARIABLE in os.environ or APPLICATION in serve.status().applications:
        return True
    disconnect()
    return False


def _start(config: str) -> None:
    targets = [
        serve.RunTarget(
            target=_builder(application["import_path"])(application.get("args", {})),
            name=application["name"],
            route_prefix=None,
        )
        for application in list_applications(read_serve_config(config), config)
    ]
    serve.start(proxy_location="Disabled")
    # A model that cannot start must not keep the others waiting: only the router and the backup are waited for.
    serve.run_many(targets, wait_for_applications_running=False)


async def _until_up() -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + _START_S
    while (state := serve.status().applications[APPLICATION]).status != "RUNNING":
        router = state.deployments.get(ROUTER_DEPLOYMENT)
        if state.status == "DEPLOY_FAILED" and (router is None or router.status == "DEPLOY_FAILED"):
            raise RuntimeError(f"the service could not be started: {state.message}")
        if state.status == "DEPLOY_FAILED" and router is not None and router.status == "HEALTHY":
            return  # without its backup, which `/status` reports: a service that always answers starts all the same
        if clock() > end:
            raise RuntimeError(f"the service has not started within {_START_S:.0f} s: {state.message or state.status}")
        await asyncio.sleep(_POLL_S)


def _builder(import_path: str) -> Any:
    """The function that builds an application: by its path, as `app`, which has ours, imports this room."""
    module, _, name = import_path.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)
