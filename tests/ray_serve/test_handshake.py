"""The sign of life that is asked of a replica's process: a gRPC server's, in a process of its own."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from deployments.ray_serve.watched_router import WatchedReplica

SERVER = """
import asyncio, ctypes, grpc

async def main():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(input)
    print("held", flush=True)
    ctypes.PyDLL(None).pause()  # which lets no other thread run Python

asyncio.run(main())
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    yield process
    process.kill()
    process.communicate()


def replica_at(port: int) -> WatchedReplica:
    """A replica whose calls go to that port of this host."""
    replica = object.__new__(WatchedReplica)
    replica._replica_info = SimpleNamespace(node_ip="127.0.0.1", port=port)
    return replica


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_a_process_that_runs_no_python_but_a_models_code_gives_a_sign_of_life(
    server: subprocess.Popen[str],
) -> None:
    replica = replica_at(int(line_of(server)))
    assert server.stdin is not None
    server.stdin.write("hold\n")
    server.stdin.flush()
    assert line_of(server) == "held"

    await asyncio.wait_for(replica.shake_hands(), 10)


async def test_a_process_that_is_stopped_gives_none(server: subprocess.Popen[str]) -> None:
    replica = replica_at(int(line_of(server)))
    await asyncio.wait_for(replica.shake_hands(), 10)
    server.send_signal(signal.SIGSTOP)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(replica.shake_hands(), 0.5)


async def test_where_nobody_listens_that_is_an_error(server: subprocess.Popen[str]) -> None:
    replica = replica_at(int(line_of(server)))
    server.kill()
    server.wait()

    with pytest.raises(ConnectionError):
        await replica.shake_hands()
