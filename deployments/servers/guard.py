"""Runs a command, and ends it and everything that it has started as soon as whoever started this has gone.

Run as: python -I -S guard.py PROGRAM ARGUMENT...

It stands between a replica and its server, as nothing else is sure to end a server: a replica may be killed with
SIGKILL, and vLLM's engine, a process of its own, outlives the API server that started it and holds the GPU's memory.

    replica ──► this process ──► guard ──► program ──► …

Standard input is a pipe whose other end the replica holds. When that closes, the guard ends the program (SIGTERM, and
`ENDING_S` later SIGKILL to all of its descendants). On Linux, orphans of the program become children of the guard, so
that it finds all of them. This process does nothing but wait for the guard: Ray kills the children of a worker that
exits, and would else kill the guard before it has done its work. The exit status is the program's; the number of a
signal is added to 128, as in a shell.

It uses the standard library alone, and none of this project: it does not run in the environment of either.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ENDING_S = 3.0
"""Seconds that the program has to end by itself."""

CANNOT_RUN = 127
"""The exit status where the program could not be started."""

_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_LIFELINE = 0
_LOOK_S = 1.0


def run(command: list[str]) -> int:
    """Run `command` under a guard, and return its exit status."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # of those that a guard leaves behind when it is killed itself
    guard = os.fork()
    if guard == 0:
        os._exit(_guard(command))
    status = _status(os.waitpid(guard, 0)[1])
    _kill_all()
    return status


def _guard(command: list[str]) -> int:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    program = os.fork()
    if program == 0:
        _become(command)
    status: int | None = None
    while status is None:
        readable, _, _ = select.select([_LIFELINE, woken], [], [], _LOOK_S)
        if woken in readable:
            os.read(woken, 4096)
        status = _reap(program)
        if status is None and _LIFELINE in readable and not os.read(_LIFELINE, 4096):
            status = _end(program)
    _kill_all()
    return status


def _become(command: list[str]) -> None:
    """Become the program. Linux kills it should the guard be killed."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), _LIFELINE)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the operator's own command
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    os._exit(CANNOT_RUN)


def _end(program: int) -> int:
    os.kill(program, signal.SIGTERM)
    until = time.monotonic() + ENDING_S
    while time.monotonic() < until:
        if (status := _reap(program)) is not None:
            return status
        time.sleep(0.02)
    return 128 + signal.SIGKILL


def _reap(program: int) -> int | None:
    """Collect the children that have ended; return the status of `program` if it is among them."""
    found: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        if pid == program:
            found = _status(status)


def _kill_all() -> None:
    """Kill all descendants, those too that are started meanwhile."""
    if sys.platform != "linux":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    while True:
        _reap(0)
        pids = list(_descendants())
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended by itself
        time.sleep(0.02)


def _descendants() -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended by itself
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    left = list(children.get(os.getpid(), ()))
    while left:
        pid = left.pop()
        yield pid
        left += children.get(pid, ())


def _status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes the pipe
    sys.exit(run(sys.argv[1:]))
