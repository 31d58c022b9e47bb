"""`neverblank stop`: the service of one folder ends with all that it has started, and nothing else does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from deployments.cli import processes
from deployments.cli.processes import Stopped, stop_orphaned_haproxies, stop_service
from deployments.ray_serve.names import HAPROXY_MANAGER, HAPROXY_PROGRAM, SERVE_COMMAND
from tests.processes import has_gone

POLITE = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit())
"""
STUBBORN = """
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: open(f"heard-{number}", "w").close())
"""
IN_BACKGROUND = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
"""
WITH_A_CHILD = """
import signal, subprocess, sys
child = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE).stdout.readline()
"""
WAITS = """
print("up", flush=True)
while True:
    signal.pause()
"""

Start = Callable[..., psutil.Popen]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment of its own, so that no test sees a service that really runs on this machine."""
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    sleep = subprocess.run(
        ["/usr/bin/env", "which", "sleep"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / "bin" / HAPROXY_PROGRAM).symlink_to(sleep)
    monkeypatch.setattr(processes, "sys", SimpleNamespace(prefix=str(folder)))
    return folder / "bin"


@pytest.fixture
def start(environment: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that looks like `serve run` in a folder, and waits until it is up."""
    started: list[psutil.Popen] = []

    def begin(script: str, folder: str = "project") -> psutil.Popen:
        (tmp_path / folder).mkdir(exist_ok=True)
        program, command = SERVE_COMMAND
        (tmp_path / program).write_text(script + WAITS)
        process = psutil.Popen(
            [environment / "python", tmp_path / program, command], cwd=tmp_path / folder, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in started:
        if process.is_running():
            process.kill()
        process.wait()


def test_the_service_of_this_folder_is_stopped_and_that_of_another_runs_on(start: Start, tmp_path: Path) -> None:
    own, other = start(POLITE), start(POLITE, folder="elsewhere")

    assert stop_service(tmp_path / "project") == Stopped(services=1, leftovers=0, haproxies=0)

    assert not own.is_running()
    assert other.is_running()


def test_what_outlives_the_service_that_started_it_is_ended(start: Start, tmp_path: Path) -> None:
    service = start(POLITE + WITH_A_CHILD)
    (child,) = service.children()

    assert stop_service(tmp_path / "project").leftovers == 1
    assert has_gone(child)  # nobody is left who would ask for its end


def test_a_service_that_does_not_hear_is_killed_after_it_was_asked_twice(start: Start, tmp_path: Path) -> None:
    service = start(STUBBORN)

    assert stop_service(tmp_path / "project", step_s=0.3).services == 1

    assert not service.is_running()
    assert sorted(path.name for path in (tmp_path / "project").iterdir()) == ["heard-15", "heard-2"]


def test_a_service_that_ignores_interrupts_is_terminated_without_waiting_for_it(start: Start, tmp_path: Path) -> None:
    service = start(IN_BACKGROUND)

    assert stop_service(tmp_path / "project", step_s=60.0).services == 1
    assert not service.is_running()


def test_where_no_service_runs_nothing_is_stopped(environment: Path, tmp_path: Path) -> None:
    assert stop_service(tmp_path) == Stopped(0, 0, 0)


def test_an_haproxy_that_nobody_looks_after_is_ended_and_one_with_a_manager_is_not(environment: Path) -> None:
    haproxy = str(environment / HAPROXY_PROGRAM)
    orphan = psutil.Popen([haproxy, "60"])
    script = "import subprocess, sys; subprocess.Popen([sys.argv[2], '60']); print('up', flush=True); input()"
    manager = psutil.Popen(
        [sys.executable, "-c", script, HAPROXY_MANAGER, haproxy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert manager.stdout.readline() == b"up\n"
    (managed,) = manager.children()
    try:
        assert stop_orphaned_haproxies() == 1

        assert not orphan.is_running()
        assert managed.is_running()
    finally:
        for process in (managed, manager):
            process.kill()
        manager.wait()
