"""The services that are measured: that of serve_config.yaml with other applications."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil
import yaml

from tests.service.service import ROOT, Service


def config(
    *applications: Mapping[str, Any], routers: int = 1, build: str = "deployments.app:build", **policy: Any
) -> dict[str, Any]:
    """serve_config.yaml with other models and policy; what each application says goes over the model's there."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    main, model = data["applications"]
    main["import_path"] = build
    main["args"]["routers"] = routers
    main["deployments"][0]["user_config"] = {"default_model": None, **policy}
    data["applications"] = [main, *(model | application for application in applications)]
    return data


def cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


START_S = 400.0
"""Fifty replicas take two cores some minutes to start."""


@contextmanager
def serving(data: Mapping[str, Any], *models: str, headers: Mapping[str, str] | None = None) -> Iterator[Service]:
    """The running service, once the backup and these models are ready; its status is asked with `headers`."""
    service = Service(data)
    service.http.headers.update(headers or {})
    try:
        service.wait_ready(*models, within_s=START_S)
        yield service
    finally:
        service.stop()
