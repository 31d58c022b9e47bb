"""The start of a server ends healthy, or with its own last words, and it never outlives the replica that started it."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.servers import supervision
from deployments.servers.probing import LOOPBACK, ReservedPort, is_healthy
from deployments.servers.process import ServerProcess
from deployments.servers.supervision import LOST_AFTER, ServerStartError, ServerSupervisor, pause_s
from deployments.settings import root
from tests.clock import until
from tests.processes import has_gone
from tests.servers.standin import COMMAND, a_spec, supervised

FAMILY = "import os, subprocess, sys, time; os.getpid()\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n"
"""A program whose child leaves its session."""


def test_a_server_that_ends_as_it_starts_fails_with_its_own_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match=r"exit status 2: .*unrecognized arguments: --no-such-argument"):
        ServerSupervisor(a_spec("healthy", "--no-such-argument"), tmp_path).start()


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    spec = a_spec(command=("/no/such/program", "{port}"))

    with pytest.raises(ServerStartError, match=r"exit status 127: cannot run /no/such/program"):
        ServerSupervisor(spec, tmp_path).start()


def test_a_server_that_is_never_healthy_is_ended_and_its_start_has_failed(tmp_path: Path) -> None:
    supervisor = ServerSupervisor(a_spec("healthy", "--health", "503", load_timeout_seconds=2), tmp_path)

    with pytest.raises(ServerStartError, match="not healthy after 2 s"):
        supervisor.start()
    assert supervisor._process is not None
    assert not psutil.pid_exists(supervisor._process.pid)


async def test_what_a_server_writes_has_no_credentials_of_its_specs(tmp_path: Path) -> None:
    spec = a_spec("healthy", "--says", "the key is hunter22", env={"MY_API_KEY": "hunter22"})

    with supervised(spec, tmp_path) as supervisor:
        process = supervisor._process
        assert process is not None
        await until(lambda: process.output.last_line.startswith("the key"))

        assert process.output.last_line == "the key is [redacted]"
        assert "hunter22" not in process.output.last_words()


@pytest.mark.parametrize("holds", [False, True])
def test_a_port_that_is_taken_is_changed_for_another_one(tmp_path: Path, *, holds: bool) -> None:
    asked: list[bool] = []
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()

        def reserve(hold: bool) -> ReservedPort:  # noqa: FBT001 - as it is called
            asked.append(hold)
            return ReservedPort(taken.getsockname()[1]) if len(asked) == 1 else ReservedPort.reserve(hold=holds)

        with supervised(a_spec(), tmp_path, reserve=reserve) as supervisor:
            assert supervisor.running is not None
            assert is_healthy(supervisor.running.port.number, "/health", 5.0)

    assert asked == [True, False]


def test_a_port_that_is_held_is_given_to_nobody_who_asks_for_any() -> None:
    held = ReservedPort.reserve(hold=True)
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        assert other.getsockname()[1] != held.number
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((LOOPBACK, held.number))
    held.release()


@contextmanager
def crashing(tmp_path: Path, second: str, **more: Any) -> Iterator[ServerSupervisor]:
    """A server whose second and later starts run `second` in a shell, and whose first process has been killed."""
    script = f"if [ -e {tmp_path}/once ]; then {second}; fi; touch {tmp_path}/once; exec {' '.join(COMMAND)}"
    with supervised(a_spec(command=("sh", "-c", script), **more), tmp_path) as supervisor:
        assert supervisor.running is not None
        psutil.Process(supervisor.running.process.pid).children(recursive=True)[-1].kill()
        yield supervisor


async def test_a_start_that_hangs_far_longer_than_those_before_counts_from_the_end_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "_LONGER_THAN_USUAL", 1.0)
    with crashing(tmp_path, "exec sleep 600", stall_seconds=0.5) as supervisor:
        await until(lambda: supervisor.running is None)
        assert supervisor.lost_s == 0.0, "a restart is not yet a loss"
        await until(lambda: supervisor.lost_s > 0.0)

        assert supervisor.lost_s >= 0.5
        assert supervisor.starts == 2


async def test_a_server_that_starts_and_ends_again_and_again_is_lost_since_its_first_end(tmp_path: Path) -> None:
    port = "import sys, http.server as h; s = h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler)"
    healthy = "h.BaseHTTPRequestHandler.do_GET = lambda me: (me.send_response(200), me.end_headers())"
    once = f'exec {{python}} -c "{port}; {healthy}; s.handle_request()"'
    with crashing(tmp_path, once, stall_seconds=60) as supervisor:
        await until(lambda: supervisor.running is None)
        began = time.monotonic()
        await until(lambda: supervisor.starts > LOST_AFTER + 1 and supervisor.lost_s > 0.0)

        assert supervisor.lost_s >= time.monotonic() - began - 0.1


def test_the_pauses_grow_with_ends_in_a_row_and_begin_at_once() -> None:
    assert [pause_s(ends, (0.0, 1.0, 5.0)) for ends in range(5)] == [0.0, 0.0, 1.0, 5.0, 5.0]


async def test_a_server_that_is_ended_takes_along_what_has_left_its_session(tmp_path: Path) -> None:
    process = ServerProcess(
        [sys.executable, "-c", f"{FAMILY}time.sleep(600)"], {"PATH": "/usr/bin:/bin"}, tmp_path, "m"
    )
    me = psutil.Process(process.pid)
    await until(lambda: any(each.name() == "sleep" for each in me.children(recursive=True)))
    family = me.children(recursive=True)
    process.close()

    assert not [each for each in family if each.is_running()]


async def test_what_a_server_leaves_behind_as_it_crashes_is_ended(tmp_path: Path) -> None:
    code = f"{FAMILY}print('pid', subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(0.5); os.abort()"
    process = ServerProcess([sys.executable, "-c", code], {"PATH": "/usr/bin:/bin"}, tmp_path, "m")
    await until(lambda: process.output.last_line.startswith("pid"))
    orphan = psutil.Process(int(process.output.last_line.split()[1]))
    await until(lambda: process.wait(0.01) is not None)

    assert process.wait(0.0) == 128 + signal.SIGABRT
    assert not orphan.is_running()


REPLICA = """
import sys, time
from pathlib import Path
from tests.servers.standin import a_spec
from deployments.servers.supervision import ServerSupervisor
supervisor = ServerSupervisor(a_spec(), Path(sys.argv[1]))
supervisor.start()
print(supervisor.running.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kills_its_child", [False, True])
async def test_a_replica_that_is_killed_takes_its_server_along(tmp_path: Path, *, kills_its_child: bool) -> None:
    with subprocess.Popen(  # noqa: S603, ASYNC220 - the test's own
        [sys.executable, "-c", REPLICA, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root()
    ) as replica:
        assert replica.stdout is not None
        leader = psutil.Process(int(replica.stdout.readline()))
        family = [leader, *leader.children(recursive=True)]
        assert len(family) == 3
        if kills_its_child:  # as Ray does, when a worker exits
            leader.kill()
        replica.kill()

    await until(lambda: all(map(has_gone, family)))
