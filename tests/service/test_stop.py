"""Stopping a service leaves no process of it behind, and touches nothing else."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from deployments.cli.processes import Stopped, stop_service
from tests.processes import has_gone
from tests.service.service import ROOT, Service, eventually


@pytest.fixture
def second(service: Service, tmp_path: Path) -> Iterator[Service]:
    """Another service beside the one of all tests, in a folder of its own: the router and the backup only."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["applications"] = config["applications"][:1]
    running = Service(config, folder=tmp_path)
    try:
        eventually(lambda: running.http.get("/healthz").status_code == 200, 60, every_s=0.2)
        yield running
    finally:
        running.stop()


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of `processes` that still run."""
    return [p for p in processes if not has_gone(p)]


def test_stop_ends_the_service_of_a_folder_and_no_other(service: Service, second: Service, tmp_path: Path) -> None:
    family = second.family()

    stopped = stop_service(tmp_path)

    assert stopped.services == 1
    assert still_running(family) == []
    assert service.http.get("/healthz").status_code == 200


def test_stop_ends_an_haproxy_whose_service_was_killed(service: Service, second: Service, tmp_path: Path) -> None:
    family = second.family()
    killed = [p for p in family if p.is_running() and p.name() != "haproxy"]
    for process in killed:
        process.send_signal(signal.SIGKILL)
    second.process.kill()
    second.process.wait(10)
    psutil.wait_procs(killed, timeout=10)
    left = [p for p in still_running(family) if p.name() == "haproxy"]
    assert left

    assert stop_service(tmp_path) == Stopped(services=0, leftovers=0, haproxies=len(left))

    with pytest.raises(httpx.ConnectError):
        second.http.get("/healthz")
    assert service.http.get("/healthz").status_code == 200
