"""The replica of a pool: its models are loaded when they are asked for, and fail alone."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from deployments.policy.outcome import Answered, Refused
from deployments.replica.multiplexed import Load, PoolReplica
from deployments.settings import PythonSpec
from tests.fakes import a_request

LOADED: list[str] = []
GATE = threading.Event()
STARTED = threading.Event()


class Named:
    """Says its name; its load waits for `GATE`."""

    def __init__(self, name: str, *, fail: bool = False) -> None:
        LOADED.append(name)
        STARTED.set()
        GATE.wait(10)
        if fail:
            raise RuntimeError("no weights")
        self.name = name

    async def infer(self, inputs: dict[str, Any]) -> str:
        return self.name


class Pool:
    """A pool whose keeper keeps everything, and the model that is asked for."""

    def __init__(self, **failing: bool) -> None:
        LOADED.clear()
        STARTED.clear()
        GATE.set()
        self.asked = ""
        target = "tests.replica.test_multiplexed:Named"
        specs = [
            PythonSpec(format="python", id=name, target=target, arguments={"name": name, "fail": fails})
            for name, fails in failing.items()
        ]
        self.replica = PoolReplica(specs, str(Path("unused")), keep=_keeping, asked=lambda: self.asked)

    async def ask(self, name: str) -> Any:
        self.asked = name
        return await self.replica.infer(a_request("Hello"), 5.0)


def _keeping(load: Load) -> Load:
    kept: dict[str, Any] = {}

    async def get(name: str) -> Any:
        if name not in kept:
            kept[name] = await load(name)
        return kept[name]

    return get


async def test_a_model_is_loaded_when_it_is_first_asked_for_and_no_other_is() -> None:
    pool = Pool(a=False, b=False)
    assert LOADED == []

    assert [await pool.ask("a"), await pool.ask("a")] == [Answered("a"), Answered("a")]
    assert LOADED == ["a"]


async def test_a_load_goes_on_where_the_request_that_began_it_does_not() -> None:
    pool = Pool(a=False)
    GATE.clear()
    first = asyncio.create_task(pool.ask("a"))
    assert await asyncio.to_thread(STARTED.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    GATE.set()

    assert await pool.ask("a") == Answered("a")
    assert LOADED == ["a"]


async def test_a_model_that_cannot_be_loaded_is_told_and_tried_again_and_the_others_answer() -> None:
    pool = Pool(a=True, b=False)

    refused = await pool.ask("a")
    assert refused == Refused("it could not be loaded: RuntimeError: no weights")
    assert await pool.ask("b") == Answered("b")
    models = (await pool.replica.describe())["models"]
    assert {name: facts["state"] for name, facts in models.items()} == {"a": "failed", "b": "ready"}
    await pool.ask("a")
    assert LOADED == ["a", "b", "a"]


async def test_a_name_that_is_not_in_the_pool_is_refused() -> None:
    assert await Pool(a=False).ask("z") == Refused("the pool has no model 'z'")


async def test_a_model_that_is_put_out_takes_its_threads_along() -> None:
    pool = Pool(a=False)
    await pool.ask("a")
    loop = next(
        thread for thread in threading.enumerate() if thread.name == "loop of tests.replica.test_multiplexed:Named"
    )

    del pool
    gc.collect()

    await asyncio.to_thread(loop.join, 10)
    assert not loop.is_alive()
