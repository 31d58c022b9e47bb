"""The real vLLM on a GPU: what a killed replica leaves there, and an engine that dies or hangs. `make test-gpu`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from deployments.policy.outcome import Answered, Failed, StreamItem, StreamPart
from deployments.servers.model import ServerModel
from deployments.servers.supervision import ServerSupervisor
from deployments.settings import ServerSpec
from tests.fakes import begun_stream, read_whole
from tests.soak.test_vllm import DEVICE, START_S, a_spec, chat

REPLICA = """
import sys, time
from pathlib import Path
from deployments.servers.supervision import ServerSupervisor
from deployments.settings import ServerSpec
ServerSupervisor(ServerSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])).start()
print("started", flush=True)
time.sleep(600)
"""
FREED_S = 10.0
NOISE_MIB = 64


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    """A GPU, which nobody else uses meanwhile. Ray would say which one it is."""
    assert DEVICE == "cuda", "these tests are run by `make test-gpu`"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


@pytest.fixture
async def model(folder: Path, tmp_path: Path) -> AsyncIterator[tuple[ServerModel, ServerSupervisor]]:
    spec = a_spec(folder, stall_seconds=20)
    supervisor = ServerSupervisor(spec, tmp_path)
    supervisor.start()
    served = ServerModel(spec, supervisor)
    yield served, supervisor
    await served.aclose()
    supervisor.close()


def memory_mib() -> int:
    """Memory in use on all GPUs, in MiB."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - no words of others
    return sum(int(line) for line in told.stdout.split())


def engine_of(supervisor: ServerSupervisor) -> psutil.Process:
    assert supervisor.running is not None
    family = psutil.Process(supervisor.running.process.pid).children(recursive=True)
    (engine,) = (each for each in family if "EngineCore" in " ".join(each.cmdline()))
    return engine


def seconds_until(condition: Callable[[], bool], within_s: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        time.sleep(0.1)
    return time.monotonic() - began


def test_a_replica_that_is_killed_leaves_no_memory_in_use(folder: Path, tmp_path: Path) -> None:
    spec: ServerSpec = a_spec(folder)
    before = memory_mib()
    command = [sys.executable, "-c", REPLICA, spec.model_dump_json(exclude_unset=True), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replica:  # noqa: S603 - our own
        assert replica.stdout is not None
        while "started" not in (line := replica.stdout.readline()):
            assert line, "it has ended"
        family = psutil.Process(replica.pid).children(recursive=True)
        used = memory_mib()
        replica.kill()
    freed_s = seconds_until(lambda: memory_mib() <= before + NOISE_MIB, FREED_S)
    print(f"{before}, {used} MiB; free after {freed_s:.1f} s")  # noqa: T201 - a soak's report

    assert used > before + 1024
    seconds_until(lambda: not [each for each in family if each.is_running()], FREED_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_engine_that_dies_or_hangs_fails_its_streams_and_is_started_again(
    model: tuple[ServerModel, ServerSupervisor], number: signal.Signals
) -> None:
    served, supervisor = model
    engine = engine_of(supervisor)
    begun = await begun_stream(served, chat("Tell me a story.", max_tokens=1500, ignore_eos=True), 120.0)
    async with aclosing(begun):
        item: StreamItem = await begun.next()
        began = time.monotonic()
        engine.send_signal(number)
        while isinstance(item, StreamPart):
            item = await begun.next()
    failed_s = time.monotonic() - began
    seconds_until(lambda: supervisor.running is not None and supervisor.starts > 1, START_S)
    print(f"failed after {failed_s:.1f} s, ready after {time.monotonic() - began:.1f} s: {item}")  # noqa: T201

    assert isinstance(item, Failed)
    assert not engine.is_running()
    assert isinstance(await read_whole(served, chat("What is the capital of France?"), 60.0), Answered)
