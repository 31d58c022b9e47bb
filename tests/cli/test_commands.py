"""`neverblank deploy` and `neverblank stop` as they are called: what they print, and how they end."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from deployments.cli import processes
from deployments.cli.processes import Stopped
from deployments.cli.router_agreement import NotServedError
from deployments.ray_serve.dashboard import ClusterError
from tests.cli.serving import neverblank
from tests.cli.test_check import config
from tests.cli.test_deploy import running

deploy = import_module("deployments.cli.deploy")  # the package's own `deploy` is the function


class FakeCluster:
    """A cluster that runs what was submitted, after it has been looked at so many times.

    Attributes:
        status: of the application `a`, as Serve calls it.
        message: what Serve says of one that has failed.
        silent: the looks at which it does not answer.
    """

    status = "RUNNING"
    message = "no weights"
    looks_needed = 2
    silent: ClassVar[list[int]] = []

    def __init__(self, address: str) -> None:
        self.address = address
        self.submitted: Mapping[str, Any] | None = None
        self.looks = 0

    def details(self) -> Mapping[str, Any]:
        if self.submitted is None:
            return {"applications": {}}
        self.looks += 1
        if self.looks in self.silent:
            raise ClusterError("the cluster does not answer")
        found = running(dict(self.submitted))
        for application in found["applications"].values():
            application["status"] = self.status if self.looks >= self.looks_needed else "DEPLOYING"
            application["message"] = self.message if self.status == "DEPLOY_FAILED" else ""
        return found

    def submit(self, wanted: Mapping[str, Any]) -> None:
        self.submitted = wanted


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two looks, in which nothing is waited for; each takes a second of the command's clock."""
    taken: list[float] = []
    clock = SimpleNamespace(sleep=taken.append, monotonic=lambda: float(len(taken)))
    monkeypatch.setattr(deploy, "time", clock)
    monkeypatch.setattr(deploy, "DashboardClient", FakeCluster)
    return taken


def test_deploy_waits_until_what_it_has_submitted_is_ready(
    tmp_path: Path, pauses: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)), "--json")

    (application,) = json.loads(done.out)
    assert done.code == 0
    assert (application["name"], application["state"]) == ("m", "ready")
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("status", "state"), [("DEPLOY_FAILED", "failed"), ("DEPLOYING", "loading")], ids=["failed", "too slow"]
)
def test_deploy_ends_with_1_where_an_application_is_not_ready(
    status: str,
    state: str,
    tmp_path: Path,
    pauses: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeCluster, "status", status)

    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)), "--json", "--wait", "5")

    assert done.code == 1
    assert [application["state"] for application in json.loads(done.out)] == [state]


@pytest.mark.parametrize("asked", [True, False], ids=["routers that do not serve it", "no router that can be asked"])
def test_deploy_ends_with_1_where_what_is_ready_is_not_served_and_only_says_so_where_nobody_can_be_asked(
    pauses: list[float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    asked: bool,
) -> None:
    def ask(*_: Any) -> str:
        if asked:
            raise NotServedError("1 of 2 routers do not serve them yet")
        return "no router could be asked"

    monkeypatch.setattr(deploy, "wait_for_routers", ask)

    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)), "--json")

    assert (done.code, ("do not serve" in done.err)) == (int(asked), asked)
    assert ("could be asked" in done.err) is not asked
    assert [application["state"] for application in json.loads(done.out)] == ["ready"]


@pytest.mark.parametrize(("silent", "code"), [([1, 2, 3], 0), (list(range(1, 100)), 1)], ids=["seconds", "for good"])
def test_deploy_waits_for_a_cluster_that_is_silent_for_seconds(
    silent: list[int],
    code: int,
    tmp_path: Path,
    pauses: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeCluster, "silent", silent)

    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)), "--json")

    assert done.code == code
    assert ("does not answer" in done.err) == bool(code)


def test_the_version_is_that_of_the_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert neverblank(capsys, monkeypatch, "--version").out.strip() == version("neverblank")


def test_a_config_that_does_not_fit_is_told_before_a_cluster_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path, spec="format: papyrus\nid: m\n")))

    assert done.code == 1
    assert "format" in done.err
    assert "cluster" not in done.err


def test_deploy_without_a_cluster_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)), "--address", "http://127.0.0.1:9")

    assert done.code == 1
    assert "neverblank: no cluster answers at http://127.0.0.1:9" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("options", "stopped", "told"),
    [
        ((), Stopped(1, 2, 0), ["stopped the service and 2 processes that outlived it"]),
        ((), Stopped(0, 0, 0), ["no service runs in this folder"]),
        ((), Stopped(1, 0, 1), ["stopped the service and 0 processes", "ended 1 HAProxy left behind"]),
        (("--orphans",), Stopped(0, 0, 3), ["ended 3 HAProxy left behind"]),
        (("--orphans",), Stopped(0, 0, 0), []),
    ],
)
def test_stop_says_what_it_has_stopped(
    options: tuple[str, ...],
    stopped: Stopped,
    told: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "stop_service", lambda _: stopped)
    monkeypatch.setattr(processes, "stop_orphaned_haproxies", lambda: stopped.haproxies)

    done = neverblank(capsys, monkeypatch, "stop", *options)

    assert done.code == 0
    assert len(done.err.splitlines()) == len(told)
    assert all(words in done.err for words in told)


def test_no_command_waits_for_ray_to_be_imported_before_it_is_known_to_need_it() -> None:
    script = "import sys, deployments.cli; print(sorted({'ray', 'torch', 'transformers'} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603

    assert told.stdout.strip() == "[]"
