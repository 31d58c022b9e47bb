"""Stopping a service leaves no process of it behind, and touches nothing else.

These are the last tests of this folder: nobody asks the services that they end any more.
"""

import signal

import httpx
import psutil
import pytest

from deployments.cli.processes import Stopped, stop_service
from tests.processes import has_gone
from tests.service.own.team import Team
from tests.service.rollout import Rollout
from tests.service.service import Service


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of `processes` that still run."""
    return [p for p in processes if not has_gone(p)]


def test_stop_ends_the_service_of_a_folder_and_no_other(service: Service, plain: Service, rollout: Rollout) -> None:
    family = plain.family()

    stopped = stop_service(rollout.folder)

    assert stopped.services == 1
    assert still_running(family) == []
    assert service.http.get("/healthz").status_code == 200


def test_stop_ends_an_haproxy_whose_service_was_killed(service: Service, team: Team) -> None:
    family = team.service.family()
    killed = [p for p in family if p.is_running() and p.name() != "haproxy"]
    for process in killed:
        process.send_signal(signal.SIGKILL)
    team.service.process.kill()
    team.service.process.wait(10)
    psutil.wait_procs(killed, timeout=10)
    left = [p for p in still_running(family) if p.name() == "haproxy"]
    assert left

    assert stop_service(team.folder) == Stopped(services=0, leftovers=0, haproxies=len(left))

    with pytest.raises(httpx.ConnectError):
        team.service.http.get("/healthz")
    assert service.http.get("/healthz").status_code == 200
