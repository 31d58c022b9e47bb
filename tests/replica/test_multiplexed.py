"""The replica of a pool: its models are loaded when they are asked for, fail alone, and pause after a failed load."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from deployments.policy.outcome import Answered, Outcome, Refused
from deployments.replica import multiplexed
from deployments.replica.multiplexed import Load, PoolReplica
from deployments.replica.replica import StalledError
from deployments.request import InferenceRequest
from deployments.settings import PythonSpec
from tests.clock import FakeClock
from tests.fakes import a_request

LOADED: list[str] = []
FAILING: set[str] = set()
GATE = threading.Event()
STARTED = threading.Event()


class Named:
    """Says its name; its load waits for `GATE`."""

    def __init__(self, name: str) -> None:
        LOADED.append(name)
        STARTED.set()
        GATE.wait(10)
        if name in FAILING:
            raise RuntimeError("no weights")
        self.name = name

    async def infer(self, inputs: dict[str, Any]) -> str:
        return self.name


class Keeper:
    """Keeps what is loaded until it is told to forget it."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def __call__(self, load: Load) -> Load:
        async def get(name: str) -> Any:
            if name not in self.kept:
                self.kept[name] = await load(name)
            return self.kept[name]

        return get


class Pool:
    """A pool of these models, and the model that is asked for."""

    def __init__(self, *names: str, failing: tuple[str, ...] = (), keep: Callable[[Load], Load] | None = None) -> None:
        LOADED.clear()
        FAILING.clear()
        FAILING.update(failing)
        STARTED.clear()
        GATE.set()
        self.asked = ""
        self.clock = FakeClock()
        self.keeper = Keeper()
        target = "tests.replica.test_multiplexed:Named"
        specs = [PythonSpec(format="python", id=name, target=target, arguments={"name": name}) for name in names]
        self.replica = PoolReplica(
            specs, "unused", keep=keep or self.keeper, asked=lambda: self.asked, stall_s=60.0, clock=self.clock
        )

    async def ask(self, name: str) -> Any:
        self.asked = name
        return await self.replica.infer(a_request("Hello"), 5.0)


async def test_a_model_is_loaded_when_it_is_first_asked_for_and_no_other_is() -> None:
    pool = Pool("a", "b")
    assert LOADED == []

    assert [await pool.ask("a"), await pool.ask("a")] == [Answered("a"), Answered("a")]
    assert LOADED == ["a"]


async def test_a_load_goes_on_where_the_request_that_began_it_does_not() -> None:
    pool = Pool("a")
    GATE.clear()
    first = asyncio.create_task(pool.ask("a"))
    assert await asyncio.to_thread(STARTED.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    GATE.set()

    assert await pool.ask("a") == Answered("a")
    assert LOADED == ["a"]


async def test_a_model_that_cannot_be_loaded_is_told_and_the_others_answer() -> None:
    pool = Pool("a", "b", failing=("a",))

    refused = await pool.ask("a")
    assert refused == Refused("it could not be loaded: RuntimeError: no weights", retry_after_s=1.0)
    assert await pool.ask("b") == Answered("b")
    models = (await pool.replica.describe())["models"]
    assert {name: facts["state"] for name, facts in models.items()} == {"a": "failed", "b": "ready"}


async def test_a_model_whose_load_failed_is_not_loaded_again_during_the_pause_and_refusals_say_how_long() -> None:
    pool = Pool("a", failing=("a",))
    await pool.ask("a")

    pool.clock.now = 0.75
    refused = await pool.ask("a")

    assert refused == Refused("it could not be loaded: RuntimeError: no weights", retry_after_s=0.25)
    assert LOADED == ["a"]


async def test_each_failed_load_in_a_row_doubles_the_pause_up_to_a_minute() -> None:
    pool = Pool("a", failing=("a",))
    pauses = []
    for _ in range(8):
        refused = await pool.ask("a")
        pauses.append(refused.retry_after_s)
        pool.clock.now += refused.retry_after_s

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert LOADED == ["a"] * 8


async def test_a_load_that_succeeds_forgets_the_failures_before_it() -> None:
    pool = Pool("a", failing=("a",))
    for _ in range(3):
        pool.clock.now += (await pool.ask("a")).retry_after_s
    FAILING.discard("a")
    assert await pool.ask("a") == Answered("a")
    assert (await pool.replica.describe())["models"]["a"] == {"state": "ready", "reason": ""}

    FAILING.add("a")
    pool.keeper.kept.clear()

    assert (await pool.ask("a")).retry_after_s == 1.0


async def test_requests_that_wait_for_one_load_share_its_failure() -> None:
    pool = Pool("a", failing=("a",))

    first, second = await asyncio.gather(pool.ask("a"), pool.ask("a"))

    assert first == second
    assert first.retry_after_s == 1.0
    assert LOADED == ["a"]


async def test_an_error_of_the_keeper_is_a_failed_load(events: list[dict[str, Any]]) -> None:
    def keep(load: Load) -> Load:
        async def get(name: str) -> Any:
            raise ValueError("no place")

        return get

    pool = Pool("a", keep=keep)

    assert await pool.ask("a") == Refused("it could not be loaded: ValueError: no place", retry_after_s=1.0)
    assert [event["where"] for event in events if event["event"] == "internal_error"] == ["pool"]


class Watched:
    """A model whose work has stalled for as long as a test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:
        return Answered("fine")

    def describe(self) -> dict[str, Any]:
        return {}

    def stalled_s(self) -> float:
        return self.seconds


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Watched]:
    """The models that a pool loads, by their names."""
    models = {name: Watched() for name in "ab"}
    monkeypatch.setattr(multiplexed, "load_model", lambda spec, *_: models[spec.id])
    return models


async def test_a_pool_of_which_one_model_is_stuck_fails_its_health_check_by_the_name_of_the_model(
    watched: dict[str, Watched],
) -> None:
    pool = Pool("a", "b")
    await pool.ask("a")
    await pool.ask("b")
    watched["b"].seconds = 59.0
    await pool.replica.check_health()

    watched["b"].seconds = 61.0

    with pytest.raises(StalledError, match=r"^b: its work has not advanced for 61 s \(stall_seconds: 60\)$"):
        await pool.replica.check_health()


async def is_healthy(pool: Pool) -> bool:
    try:
        await pool.replica.check_health()
    except StalledError:  # not kept: its frames hold the model
        return False
    return True


async def test_a_stuck_model_that_was_put_out_of_its_pool_fails_the_health_check_as_long_as_its_work_lasts(
    watched: dict[str, Watched],
) -> None:
    pool = Pool("a", "b")
    await pool.ask("a")
    pool.keeper.kept.clear()
    watched["a"].seconds = 61.0
    before = await is_healthy(pool)

    del watched["a"]
    await asyncio.sleep(0)  # the loop's last step still holds the model
    gc.collect()

    assert (before, await is_healthy(pool)) == (False, True)


async def test_a_name_that_is_not_in_the_pool_is_refused() -> None:
    assert await Pool("a").ask("z") == Refused("the pool has no model 'z'")


async def test_a_model_that_is_put_out_takes_its_threads_along() -> None:
    pool = Pool("a")
    await pool.ask("a")
    loop = next(
        thread for thread in threading.enumerate() if thread.name == "loop of tests.replica.test_multiplexed:Named"
    )

    del pool
    gc.collect()

    await asyncio.to_thread(loop.join, 10)
    assert not loop.is_alive()
