"""Stopping the service, and nothing else.

What counts as ours:

- a `serve run` started with this environment's Python in this project's folder, and all it has started;
- an HAProxy from this environment whose manager has gone. Ray leaves one behind when `serve run` or a cluster
  is ended roughly, and it would hold the port for ever.
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was stopped: numbers of processes."""

    services: int
    leftovers: int
    haproxies: int


def stop_service(root: Path, patience_s: float = 20.0) -> Stopped:
    """Stop what runs in the folder `root`, then clear up.

    Args:
        root: the project's folder.
        patience_s: seconds each step is given before the next, harsher one: interrupt, terminate, kill.
    """
    leftovers = 0
    services = list(_services(root))
    for service in services:
        family = service.children(recursive=True)
        _end(service, patience_s)
        _, alive = psutil.wait_procs(family, timeout=5)
        for process in alive:
            _signal(process, signal.SIGKILL)
        leftovers += len(alive)
    return Stopped(len(services), leftovers, stop_orphaned_haproxies())


def stop_orphaned_haproxies() -> int:
    """End every HAProxy of this environment that no Ray process looks after any more; says how many."""
    orphans = [process for process in _ours() if _is_orphaned_haproxy(process)]
    for process in orphans:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(orphans, timeout=5)
    for process in alive:
        _signal(process, signal.SIGKILL)
    return len(orphans)


def _services(root: Path) -> Iterator[psutil.Process]:
    for process in _ours():
        try:
            words = process.cmdline()
            runs = any(Path(word).name == "serve" and after == "run" for word, after in itertools.pairwise(words))
            if runs and _in_environment(words[0]) and Path(process.cwd()) == root:
                yield process
        except psutil.Error:  # gone meanwhile, or none of our business
            continue


def _ours() -> Iterator[psutil.Process]:
    """Processes of this user."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.uids().real == os.getuid():
                yield process
        except psutil.Error:
            continue


def _is_orphaned_haproxy(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
        if not words or Path(words[0]).name != "haproxy" or not _in_environment(words[0]):
            return False
        parent = process.parent()
        return parent is None or not (parent.name().startswith("ray") or "HAProxy" in " ".join(parent.cmdline()))
    except psutil.Error:
        return False


def _in_environment(program: str) -> bool:
    """Say whether `program` belongs to the virtual environment that runs this."""
    return Path(os.path.abspath(program)).is_relative_to(sys.prefix)  # noqa: PTH100 - links must stay unresolved


def _end(process: psutil.Process, patience_s: float) -> None:
    # An interrupt lets Serve take its replicas down in order; a process started in the background ignores it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if number is signal.SIGINT and _ignores_interrupts(process):
            continue
        _signal(process, number)
        _, alive = psutil.wait_procs([process], timeout=patience_s)
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
