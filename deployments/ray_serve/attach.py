"""Finding the running service from Python, or starting one.

1. Ray is already connected in this process (a Ray job, a notebook): that cluster.
2. A cluster runs on this machine, or `RAY_ADDRESS` names one, and the service runs on it: that one.
3. Otherwise a local cluster is started in this process, with everything `serve_config.yaml` lists. It takes
   no HTTP port, and ends with the process.
"""

import importlib
import os
import time
from typing import Any

import ray
import yaml
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.app import APPLICATION
from deployments.ray_serve.handle import ROUTER_DEPLOYMENT
from deployments.settings import SettingsError, resolve

CONFIG = "serve_config.yaml"


def attach_or_start(config: str = CONFIG) -> DeploymentHandle:
    """A handle to the router; blocks until the service is up.

    Args:
        config: the Serve config to start from where nothing runs.

    Raises:
        SettingsError: the config cannot be read.
        RuntimeError: the service could not be started.
    """
    if not ray.is_initialized() and not _attach():
        ray.init(namespace="serve", log_to_driver=False, configure_logging=False)
    if APPLICATION not in serve.status().applications:
        _start(config)
    return serve.get_app_handle(APPLICATION)


def _attach() -> bool:
    """Connect to a running cluster; one without the service is left alone unless `RAY_ADDRESS` names it."""
    try:
        ray.init(address="auto", namespace="serve", log_to_driver=False, configure_logging=False)
    except ConnectionError:
        return False
    if "RAY_ADDRESS" in os.environ or APPLICATION in serve.status().applications:
        return True
    ray.shutdown()
    return False


def _start(config: str) -> None:
    targets = [
        serve.RunTarget(
            target=_builder(application["import_path"])(application.get("args", {})),
            name=application["name"],
            route_prefix=None,
        )
        for application in read_applications(config)
    ]
    serve.start(proxy_location="Disabled")
    # A model that cannot start must not keep the others waiting: only the router and the backup are waited for.
    serve.run_many(targets, wait_for_applications_running=False)
    while (state := serve.status().applications[APPLICATION]).status != "RUNNING":
        router = state.deployments.get(ROUTER_DEPLOYMENT)
        if state.status == "DEPLOY_FAILED" and (router is None or router.status == "DEPLOY_FAILED"):
            raise RuntimeError(f"the service could not be started: {state.message}")
        if state.status == "DEPLOY_FAILED" and router is not None and router.status == "HEALTHY":
            return  # without its backup, as `/status` tells: a service that always answers does not stay away for that
        time.sleep(0.2)


def _builder(import_path: str) -> Any:
    module, _, name = import_path.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)


def read_applications(config: str) -> list[dict[str, Any]]:
    """The applications a Serve config lists.

    Raises:
        SettingsError: it cannot be read, or lists none.
    """
    try:
        data = yaml.safe_load(resolve(config).read_text(encoding="utf-8"))
        applications: list[dict[str, Any]] = data["applications"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        accepted = "a Serve config with a list of applications"
        raise SettingsError(config, "applications", f"cannot be read ({type(error).__name__})", accepted) from error
    return applications
