"""`neverblank serve`: sets up what the service needs, runs it until Ctrl-C, and leaves nothing behind.

clear    an HAProxy that a dead service has left: it would hold the port, which has to be free
pull     the weights of the models, and their snapshots
run      `serve run`, in a process group of its own: Ctrl-C at a terminal reaches this process alone, which passes it
         on once, and is still there to clear up. A line says when a model can answer
clear    what the service leaves
"""

import os
import platform
import signal
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Annotated

import typer

from deployments.cli.port import address_of, announce_when_ready, require_free_port
from deployments.cli.processes import stop_orphaned_haproxies
from deployments.cli.weights import pull
from deployments.ray_serve.front import BINARY_VARIABLE, FRONT_COMMAND
from deployments.ray_serve.names import AUTH_MODE, AUTH_VARIABLE, SERVE_COMMAND
from deployments.ray_serve.serve_config import SERVE_CONFIG, read_serve_config
from deployments.settings import resolve, root
from deployments.settings.files import ROOT_VARIABLE

PORTABLE_CONFIG = "configs/portable.yaml"
"""The Serve config of systems that ray[serve] brings no HAProxy for."""

_Config = Annotated[Path | None, typer.Argument(help="The Serve config; without one, that of this system.")]
_Pull = Annotated[bool, typer.Option(help="Fetch the weights of the models first.")]

_PASSED_ON = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGINT}
"""What this process is told to end by, and what the command is told then. A terminal that is closed tells this process
alone, and the command, which does not know that signal, ends in order at an interrupt."""

_SIGNALLED = 128


def run_service(config: _Config = None, *, weights: _Pull = True) -> None:
    """Set the service up and run it until Ctrl-C, as `make serve` does.

    Exit code: that of `serve run`. 1: no source could give a model's weights, the config cannot be read, or another
    program has its port.
    """
    chosen = str(config or default_config())
    content = read_serve_config(chosen)
    stop_orphaned_haproxies()
    require_free_port(content, chosen)
    if weights:
        pull(Path(chosen))
    with _passing_signals_on([_program(), SERVE_COMMAND[1], str(resolve(chosen))]) as process:
        watched = (address_of(content), lambda: process.poll() is None)
        Thread(target=announce_when_ready, args=watched, daemon=True).start()
        status = process.wait()
    stop_orphaned_haproxies()
    raise typer.Exit(status if status >= 0 else _SIGNALLED - status)


def default_config() -> str:
    """The Serve config of this system: HAProxy comes with ray[serve] on Linux only."""
    return SERVE_CONFIG if platform.system() == "Linux" else PORTABLE_CONFIG


def service_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the service: `environment`, in which what a project's folder holds is found.

    Ray's processes inherit it: they read the project's files, import its own models, and ask for Ray's token.
    """
    here = str(root())
    programs = sysconfig.get_path("scripts")
    front = Path(programs) / FRONT_COMMAND
    return {
        AUTH_VARIABLE: AUTH_MODE,
        # HAProxy's statistics are this machine's: see `ray_serve.front`.
        **({BINARY_VARIABLE: str(front)} if os.access(front, os.X_OK) else {}),
        **environment,
        ROOT_VARIABLE: here,
        "PATH": os.pathsep.join([programs, environment.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([here, *filter(None, [environment.get("PYTHONPATH")])]),
    }


def _program() -> str:
    return str(Path(sysconfig.get_path("scripts")) / SERVE_COMMAND[0])


@contextmanager
def _passing_signals_on(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `command`; what this process is told to end by, the command is told."""
    environment = service_environment(os.environ)
    # The handlers are there before the process, so that it starts with the default ones: a shell that puts something
    # into the background has it ignore interrupts, and what ignores them cannot be stopped in order.
    # Only a closed terminal may be ignored: `nohup` has it so, and means it.
    passed_on = {
        number: told
        for number, told in _PASSED_ON.items()
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    told: list[int] = []
    before = {number: signal.signal(number, lambda got, _: told.append(got)) for number in passed_on}
    try:
        process = subprocess.Popen(command, cwd=root(), env=environment, process_group=0)  # noqa: S603 - our own program

        def pass_on(number: int, _: FrameType | None) -> None:
            process.send_signal(passed_on[signal.Signals(number)])

        for number in passed_on:
            signal.signal(number, pass_on)
        for early in told:
            pass_on(early, None)
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
