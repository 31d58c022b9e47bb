"""Stops the service that was started in a folder, and nothing else.

These processes belong to it:

- a `serve run` that this environment's Python runs in the folder, and all processes it has started;
- an HAProxy of this environment whose manager has gone. Ray leaves it behind when `serve run` or a cluster is killed,
  and it would hold the port for ever.
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from deployments.ray_serve.names import HAPROXY_MANAGER, HAPROXY_PROGRAM, RAY_PROCESS_PREFIX, SERVE_COMMAND


@dataclass(frozen=True, slots=True)
class Stopped:
    """The processes that were stopped, counted by kind.

    Attributes:
        services: `serve run` processes.
        leftovers: processes that one of them had started, and that outlived it.
        haproxies: HAProxy processes without a manager.
    """

    services: int
    leftovers: int
    haproxies: int


def stop_service(root: Path, step_s: float = 20.0) -> Stopped:
    """Stop the service that runs in the folder `root`, and end the processes that outlive it.

    Args:
        root: the project's folder.
        step_s: seconds for each step before the next, harsher one: interrupt, terminate, kill.
    """
    leftovers = 0
    services = list(_services(root))
    for service in services:
        family = service.children(recursive=True)
        _end(service, step_s)
        _, alive = psutil.wait_procs(family, timeout=5)
        for process in alive:
            _signal(process, signal.SIGKILL)
        leftovers += len(alive)
    return Stopped(len(services), leftovers, stop_orphaned_haproxies())


def stop_orphaned_haproxies() -> int:
    """End every HAProxy of this environment that no process of Ray looks after, and return how many there were."""
    orphans = [process for process in _of_this_user() if _is_orphaned_haproxy(process)]
    for process in orphans:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(orphans, timeout=5)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)  # who starts a service next finds the port free
    return len(orphans)


def _services(root: Path) -> Iterator[psutil.Process]:
    for process in _of_this_user():
        try:
            words = process.cmdline()
            runs = any((Path(word).name, after) == SERVE_COMMAND for word, after in itertools.pairwise(words))
            if runs and _in_environment(words[0]) and Path(process.cwd()) == root:
                yield process
        except psutil.Error:  # it has gone meanwhile, or may not be looked at
            continue


def _of_this_user() -> Iterator[psutil.Process]:
    """All processes of this user but this one."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.uids().real == os.getuid():
                yield process
        except psutil.Error:
            continue


def _is_orphaned_haproxy(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
        if not words or Path(words[0]).name != HAPROXY_PROGRAM or not _in_environment(words[0]):
            return False
        parent = process.parent()
        if parent is None:
            return True
        return not (parent.name().startswith(RAY_PROCESS_PREFIX) or HAPROXY_MANAGER in " ".join(parent.cmdline()))
    except psutil.Error:
        return False


def _in_environment(program: str) -> bool:
    """Whether `program` belongs to the virtual environment that runs this."""
    return Path(os.path.abspath(program)).is_relative_to(sys.prefix)  # noqa: PTH100 - links must stay unresolved


def _end(process: psutil.Process, step_s: float) -> None:
    # An interrupt lets Serve take its replicas down in order; a process started in the background ignores it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if number is signal.SIGINT and _ignores_interrupts(process):
            continue
        _signal(process, number)
        _, alive = psutil.wait_procs([process], timeout=step_s)
        if not alive:
            return


def _ignores_interrupts(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return False
    ignored = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored, 16) & (1 << (signal.SIGINT - 1)))


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
