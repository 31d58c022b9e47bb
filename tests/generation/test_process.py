"""An engine in a process of its own answers as one in this process does, and is started again when it dies."""

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.generation import (
    BatchFullError,
    CannotGenerateError,
    CannotLoadError,
    Generation,
    Prompt,
    Sampling,
    Tokenization,
    TokenQuery,
    UnsupportedSamplingError,
    UnsupportedTurnsError,
)
from deployments.generation.grammar import FatalGrammarError, JsonGrammar
from deployments.generation.process import ProcessGenerator
from deployments.generation.worker import EngineConfig
from tests.clock import until

SAMPLING = Sampling(8, 0.0, 60.0)
TARGET = "tests.generation.engines:Obedient"


@pytest.fixture(scope="module")
def generator() -> Iterator[ProcessGenerator]:
    made = ProcessGenerator("obedient", EngineConfig(TARGET))
    yield made
    made.close()


def generate(generator: ProcessGenerator, text: str) -> Coroutine[Any, Any, Generation]:
    return generator.generate(Prompt(text), SAMPLING)


async def test_a_stream_gives_its_texts_and_then_the_complete_generation(generator: ProcessGenerator) -> None:
    items = [item async for item in generator.stream(Prompt("one two"), SAMPLING)]

    assert items == ["one", "two", Generation("onetwo", 7, 2, "stop")]
    assert await generate(generator, "one two") == items[-1]


async def test_requests_at_the_same_time_get_their_own_texts(generator: ProcessGenerator) -> None:
    generations = await asyncio.gather(*(generate(generator, f"{n} times") for n in range(4)))

    assert [generation.text for generation in generations] == [f"{n}times" for n in range(4)]


async def test_its_tokenizer_is_asked_beside_a_batch_that_is_full(generator: ProcessGenerator, tmp_path: Path) -> None:
    hanging = [asyncio.ensure_future(generate(generator, f"hang {tmp_path / 'x'}")) for _ in range(4)]
    await until(lambda: generator.describe()["active"] == 4)

    assert await generator.tokenization(TokenQuery(Prompt("one three"))) == Tokenization(100, [3, 5])
    with pytest.raises(UnsupportedTurnsError, match="no such turns"):
        await generator.tokenization(TokenQuery(Prompt("refuse")))
    assert generator.describe()["active"] == 4
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_an_error_of_the_engine_is_raised_in_the_client(generator: ProcessGenerator) -> None:
    with pytest.raises(UnsupportedSamplingError, match="does not support logit_bias"):
        await generate(generator, "refuse")
    with pytest.raises(RuntimeError, match="OddError: odd"):
        await generate(generator, "odd")


async def test_a_stream_that_is_closed_is_closed_in_the_engine(generator: ProcessGenerator, tmp_path: Path) -> None:
    stream = generator.stream(Prompt(f"hang {tmp_path / 'ended'}"), SAMPLING)
    assert await anext(stream) == "I "
    await stream.aclose()

    await until((tmp_path / "ended").exists)
    assert generator.describe()["active"] == 0


async def test_a_full_engine_refuses_and_has_room_again_when_one_is_given_up(
    generator: ProcessGenerator, tmp_path: Path
) -> None:
    hanging = [asyncio.ensure_future(generate(generator, f"hang {tmp_path / 'x'}")) for _ in range(4)]
    await until(lambda: generator.describe()["active"] == 4)
    with pytest.raises(BatchFullError, match="batch of 4 is full"):
        await generate(generator, "hello")
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)

    assert (await generate(generator, "hello")).text == "hello"


async def test_an_engine_that_holds_its_interpreter_lock_does_not_hold_up_this_process(
    generator: ProcessGenerator,
) -> None:
    held = asyncio.ensure_future(anext(generator.stream(Prompt("hold"), SAMPLING)))
    turns = 0
    while not held.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 5, "the lock was held for half a second"


async def test_an_engine_that_dies_fails_its_requests_and_is_started_again(
    generator: ProcessGenerator, tmp_path: Path, events: Any
) -> None:
    other = asyncio.ensure_future(generate(generator, f"hang {tmp_path / 'x'}"))
    await until(lambda: generator.describe()["active"] == 1)
    before = generator.describe()["process"]
    with pytest.raises(RuntimeError, match="has ended, with -9"):
        await generate(generator, "die")
    with pytest.raises(RuntimeError, match="has ended, with -9"):
        await other
    with pytest.raises(CannotGenerateError, match="being started again"):
        await generate(generator, "hello")

    await until(lambda: generator.describe()["engine"] == "obedient")
    assert (await generate(generator, "hello")).text == "hello"
    assert generator.describe()["process"] != before
    assert [(line["model"], line["status"]) for line in events if line["event"] == "engine_ended"] == [("obedient", -9)]


async def test_an_engine_that_a_grammar_has_broken_is_replaced_and_its_successor_does_not_get_that_grammar(
    generator: ProcessGenerator,
) -> None:
    before = generator.describe()["process"]
    fatal = replace(SAMPLING, grammar=JsonGrammar("{}"))
    with pytest.raises(FatalGrammarError):
        await generator.generate(Prompt("break"), fatal)

    await until(lambda: generator.describe().get("process", before) != before)
    assert (await generate(generator, "hello")).text == "hello"
    with pytest.raises(FatalGrammarError):
        await generator.generate(Prompt("hello"), fatal)


async def test_an_engine_that_dies_in_the_middle_of_a_message_is_started_again(generator: ProcessGenerator) -> None:
    with pytest.raises(RuntimeError, match="has ended, with -9"):
        await generate(generator, "half")

    await until(lambda: generator.describe()["engine"] == "obedient")
    assert (await generate(generator, "hello")).text == "hello"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the task that is left behind
def test_a_request_whose_event_loop_is_closed_makes_room(generator: ProcessGenerator) -> None:
    loop = asyncio.new_event_loop()
    asking = loop.create_task(generate(generator, "hold"))
    loop.run_until_complete(asyncio.sleep(0))
    loop.stop()
    loop.close()

    asyncio.run(until(lambda: generator.describe()["active"] == 0))
    assert not asking.done()
    del asking
    gc.collect()


@pytest.mark.parametrize(
    ("load", "error", "reason"),
    [("refuse", CannotLoadError, "no such weights"), ("die", RuntimeError, "ended as it loaded, with -9")],
)
def test_an_engine_that_cannot_be_loaded_raises_the_reason(load: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        ProcessGenerator("bad", EngineConfig(TARGET, {"load": load}))


async def test_the_process_ends_when_the_generator_is_garbage_collected() -> None:
    generator = ProcessGenerator("obedient", EngineConfig(TARGET))
    process = psutil.Process(generator.describe()["process"])
    del generator
    gc.collect()

    await until(lambda: not process.is_running())


def test_a_process_that_is_stuck_ends_when_its_generator_is_closed() -> None:
    generator = ProcessGenerator("obedient", EngineConfig(TARGET))
    process = psutil.Process(generator.describe()["process"])
    process.suspend()

    generator.close()

    process.wait(3)  # at once: this process may end before any grace is over


@pytest.mark.parametrize("stuck", [False, True], ids=["at work", "stuck"])
def test_the_process_ends_when_its_client_is_killed(*, stuck: bool) -> None:
    read, write = os.pipe()
    client = os.fork()
    if client == 0:  # what a replica that is killed leaves behind
        made = ProcessGenerator("obedient", EngineConfig(TARGET))
        if stuck:
            os.kill(made.describe()["process"], signal.SIGSTOP)
        os.write(write, str(made.describe()["process"]).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(client, 0)
    process = int(os.read(read, 16))

    try:
        psutil.Process(process).wait(30)
    except psutil.NoSuchProcess:
        return
