"""An engine that is stuck is known by its work, which does not advance: in this process, and in one of its own."""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from deployments.generation import Prompt, Sampling
from deployments.generation.continuous import ContinuousGenerator
from deployments.generation.process import ProcessGenerator
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.stopping import layer_modules
from deployments.generation.transformers import TransformersGenerator
from deployments.generation.worker import EngineConfig, GenerateRequest, Worker
from tests.clock import WAIT_S, FakeClock, until
from tests.generation.engines import Obedient
from tests.sources.tiny import model, tokenizer

HELLO = Prompt("Hello")


def greedy(max_tokens: int) -> Sampling:
    return Sampling(max_tokens, 0.0, 1e6)


class Gate:
    """Before every part of a layer: lets it pass, or holds it until it is opened."""

    def __init__(self, model: Any) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        for part in layer_modules(model):
            part.register_forward_pre_hook(self._pass)

    def _pass(self, *_: Any) -> None:
        self.reached.set()
        assert self.open.wait(WAIT_S)


async def leave(generator: Any, gate: Gate) -> None:
    """Ask for a generation, and go away once it is in a layer."""
    asking = asyncio.ensure_future(generator.generate(HELLO, greedy(4)))
    assert await asyncio.to_thread(gate.reached.wait, WAIT_S)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


# --- transformers, in this process ------------------------------------------------------------------


def alone(clock: FakeClock) -> TransformersGenerator:
    made = model()
    made.generation_config.repetition_penalty = 1.0
    return TransformersGenerator(made, PromptTokenizer(tokenizer(), 128), concurrency=1, clock=clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def batched(clock: FakeClock) -> Iterator[ContinuousGenerator]:
    unbatched = alone(clock)
    generator = ContinuousGenerator(unbatched.model, unbatched.tokenizer, unbatched, capacity=2)
    generator.warm_up(HELLO, greedy(2))
    yield generator
    generator.close()


async def test_a_generation_that_is_stuck_in_a_layer_has_stalled_though_its_caller_has_gone(clock: FakeClock) -> None:
    generator = alone(clock)
    gate = Gate(generator.model)
    await leave(generator, gate)

    clock.now += 100.0

    assert generator.stalled_s() == 100.0
    gate.open.set()
    await until(lambda: generator.stalled_s() == 0.0)


async def test_a_batch_that_is_stuck_in_a_layer_has_stalled_though_its_caller_has_gone(
    clock: FakeClock, batched: ContinuousGenerator
) -> None:
    gate = Gate(batched._unbatched.model)
    await leave(batched, gate)

    clock.now += 100.0

    assert batched.stalled_s() == 100.0
    gate.open.set()
    await until(lambda: batched.stalled_s() == 0.0)
    assert (await batched.generate(HELLO, greedy(4))).completion_tokens == 4
    clock.now += 100.0
    assert batched.stalled_s() == 0.0


@pytest.mark.parametrize("engine", ["alone", "batched"])
async def test_every_part_of_a_layer_that_begins_is_a_sign_of_life(
    clock: FakeClock, batched: ContinuousGenerator, engine: str
) -> None:
    generator = batched if engine == "batched" else batched._unbatched
    seen: list[float] = []

    def take_long(*_: Any) -> None:
        clock.now += 40.0
        seen.append(generator.stalled_s())

    for part in layer_modules(batched._unbatched.model):
        part.register_forward_pre_hook(take_long)

    await generator.generate(HELLO, greedy(2))

    assert len(seen) > 4
    assert set(seen) == {40.0}


async def test_a_batch_whose_stream_is_not_read_has_not_stalled(clock: FakeClock, batched: ContinuousGenerator) -> None:
    stream = batched.stream(HELLO, greedy(100))
    await anext(stream)
    await until(lambda: not batched._in_batch)

    clock.now += 100.0

    assert batched.stalled_s() == 0.0
    await stream.aclose()


def test_a_batch_that_has_ended_never_advances_again(batched: ContinuousGenerator) -> None:
    batched.close()

    assert batched.stalled_s() == float("inf")


# --- an engine in a process of its own --------------------------------------------------------------


@asynccontextmanager
async def worker_of(generator: Obedient) -> AsyncIterator[Any]:
    """A worker with `generator` on this event loop, and its client's end of the connection."""
    theirs, ours = multiprocessing.Pipe()
    with theirs, ours:
        running = asyncio.ensure_future(Worker(theirs, generator).run())
        yield ours
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def received(connection: Any) -> list[Any]:
    messages = []
    while connection.poll():
        messages.append(connection.recv())
    return messages


@pytest.mark.looptime
async def test_a_worker_reports_once_a_second_while_a_whole_answer_is_generated_and_once_after(tmp_path: Path) -> None:
    generator = Obedient()
    async with worker_of(generator) as connection:
        await asyncio.sleep(5.5)
        idle = received(connection)
        connection.send((1, GenerateRequest(Prompt(f"think {tmp_path / 'done'} 0.25"), greedy(8), streamed=False)))
        await asyncio.sleep(3.0)
        busy = received(connection)
        (tmp_path / "done").touch()
        await asyncio.sleep(5.0)
        answer, *after = received(connection)

    assert idle == []
    assert busy == [0.25] * 3
    assert answer[0][0] == 1
    assert after == [0.0]


@pytest.fixture
def generator(clock: FakeClock) -> Iterator[ProcessGenerator]:
    with closing(ProcessGenerator("obedient", EngineConfig("tests.generation.engines:Obedient"), clock)) as made:
        yield made


async def test_a_long_generation_whose_process_reports_that_it_advances_has_not_stalled(
    clock: FakeClock, generator: ProcessGenerator, tmp_path: Path
) -> None:
    asking = asyncio.ensure_future(generator.generate(Prompt(f"think {tmp_path / 'done'} 0.25"), greedy(8)))
    await asyncio.sleep(0)

    clock.now = 100.0
    assert generator.stalled_s() == 100.0

    await until(lambda: generator.stalled_s() == 0.25)
    (tmp_path / "done").touch()
    await asking


async def test_an_engine_that_is_stuck_in_a_process_that_is_not_has_stalled_as_the_process_says(
    generator: ProcessGenerator, tmp_path: Path
) -> None:
    asking = asyncio.ensure_future(generator.generate(Prompt(f"think {tmp_path / 'done'} 90"), greedy(8)))

    await until(lambda: generator.stalled_s() == 90.0)

    (tmp_path / "done").touch()
    await asking
    await until(lambda: generator.stalled_s() == 0.0)


async def test_a_process_that_is_stopped_has_stalled_though_its_caller_has_gone(
    clock: FakeClock, generator: ProcessGenerator, tmp_path: Path
) -> None:
    process = generator.describe()["process"]
    os.kill(process, signal.SIGSTOP)
    asking = asyncio.ensure_future(generator.generate(Prompt(f"hang {tmp_path / 'x'}"), greedy(8)))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    clock.now = 100.0

    assert generator.stalled_s() == 100.0
    os.kill(process, signal.SIGCONT)
    await until(lambda: generator.stalled_s() == 0.0)
    clock.now = 200.0
    assert generator.stalled_s() == 0.0


async def test_a_process_that_is_stopped_without_work_has_not_stalled(
    clock: FakeClock, generator: ProcessGenerator
) -> None:
    assert (await generator.generate(HELLO, greedy(8))).text == "Hello"
    os.kill(generator.describe()["process"], signal.SIGSTOP)

    clock.now = 100.0

    assert generator.stalled_s() == 0.0
