"""A replica: it is there at once, says so while its model is not, and turns whatever happens into an outcome."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

import pytest
from msgspec.structs import replace

from deployments.formats.python import PythonModel
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, Refused
from deployments.policy.reason import MAX_REASON_CHARACTERS
from deployments.ray_serve.errors import LoadFailedError
from deployments.replica.replica import SingleReplica, StalledError
from tests.clock import WAIT_S, FakeClock, until
from tests.fakes import a_request

STALL_S = 60.0


class Sync:
    def infer(self, inputs: dict[str, Any]) -> Any:
        return inputs["text"]


class Async:
    async def infer(self, inputs: dict[str, Any]) -> Any:
        return inputs["text"]


class Handing:
    """A plain function that hands back an awaitable, as a decorated one may."""

    def infer(self, inputs: dict[str, Any]) -> Any:
        return Async().infer(inputs)


class Raising:
    def infer(self, inputs: dict[str, Any]) -> Any:
        raise ValueError("broken")


class Quoting:
    def infer(self, inputs: dict[str, Any]) -> Any:
        raise ValueError(inputs["text"])


class QuotingInACause:
    def infer(self, inputs: dict[str, Any]) -> Any:
        try:
            Quoting().infer(inputs)
        except ValueError as error:
            raise RuntimeError(inputs["text"]) from error


class Mute:
    def infer(self, inputs: dict[str, Any]) -> Any:
        return None


class NoModel:
    """Has no infer."""


def replica(load: Callable[[], Any], timeout_s: float = 30.0) -> SingleReplica:
    return SingleReplica("m", load, timeout_s, STALL_S)


async def ask(target: type, text: str = "Hello") -> Outcome:
    served = replica(lambda: PythonModel("tests:T", target(), threads=1))
    await served.check_health()
    return await served.infer(a_request(text), 1.0)


@pytest.mark.parametrize("target", [Sync, Async, Handing])
async def test_a_class_answers_whether_it_is_sync_or_async(target: type) -> None:
    assert await ask(target) == Answered("Hello")


async def test_a_class_that_raises_is_a_failed_attempt_with_its_reason_and_the_trace_is_told(events: Any) -> None:
    outcome = await ask(Raising)

    assert isinstance(outcome, Failed)
    assert outcome.reason == "ValueError: broken"
    (told,) = [event for event in events if event["event"] == "model_raised"]
    assert told["model"] == "m"
    assert told["reason"].startswith("ValueError in infer (test_replica.py:")
    assert 'raise ValueError("broken")' in told["exception"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("target", [Quoting, QuotingInACause])
async def test_what_an_exception_quotes_of_a_request_is_told_to_its_caller_and_in_no_line(
    target: type, events: Any, *, streams: bool
) -> None:
    served = replica(lambda: PythonModel("tests:T", target(), threads=1))
    await served.check_health()
    request = replace(a_request("my secret " * 100), stream=streams)

    *_, outcome = (
        [item async for item in served.stream(request, 1.0)] if streams else [await served.infer(request, 1.0)]
    )

    assert isinstance(outcome, Failed)
    assert "my secret" in outcome.reason
    assert len(outcome.reason) <= MAX_REASON_CHARACTERS
    assert "Error in infer (test_replica.py" in outcome.log_reason
    assert [line["event"] for line in events][-1] == "model_raised"
    assert "my secret" not in repr(events) + outcome.log_reason


class OwnError(Exception):
    """Has no message that can be read."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Unreadable:
    def infer(self, inputs: dict[str, Any]) -> Any:
        raise OwnError


async def test_an_exception_without_a_message_that_can_be_read_is_a_failed_attempt_too() -> None:
    outcome = await ask(Unreadable)

    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("OwnError: ")


async def test_a_class_that_returns_nothing_is_blank() -> None:
    assert isinstance(await ask(Mute), Blank)


async def test_a_class_without_infer_is_a_failed_load_that_says_so() -> None:
    with pytest.raises(LoadFailedError, match=r"has no method infer\(inputs\)"):
        await ask(NoModel)


async def test_a_replica_refuses_while_it_loads_and_answers_afterwards() -> None:
    loaded = threading.Event()

    def load() -> Any:
        loaded.wait()
        return PythonModel("tests:T", Sync(), threads=1)

    served = replica(load)
    assert await served.infer(a_request("Hello"), 1.0) == Refused(
        "not ready: loading its weights, 0 s so far", soon=True
    )
    assert (await served.describe())["state"] == "loading"

    loaded.set()
    await served.check_health()

    assert await served.infer(a_request("Hello"), 1.0) == Answered("Hello")
    assert (await served.describe())["state"] == "ready"


@pytest.mark.parametrize("error", [RuntimeError("no weights\n  anywhere"), SystemExit("no weights\nanywhere")])
async def test_a_load_that_fails_fails_the_health_check_in_one_line_that_says_why(
    error: BaseException, events: Any
) -> None:
    def load() -> Any:
        raise error

    served = replica(load)
    with pytest.raises(LoadFailedError, match=f"^{type(error).__name__}: no weights anywhere$"):
        await served.check_health()

    outcome = await served.infer(a_request("Hello"), 1.0)
    assert isinstance(outcome, Refused)
    assert "no weights" in outcome.reason
    assert (await served.describe())["state"] == "failed"
    told = [(event["model"], event["reason"]) for event in events if event["event"] == "model_failed"]
    assert told == [("m", f"{type(error).__name__}: no weights anywhere")]


@pytest.mark.looptime(idle_timeout=5)
async def test_a_load_that_takes_too_long_has_failed() -> None:
    never = threading.Event()
    served = replica(never.wait, timeout_s=5.0)

    with pytest.raises(LoadFailedError, match="no model after 5 s"):
        await served.check_health()
    never.set()

    assert "TimeoutError: no model after 5 s" in (await served.describe())["reason"]


async def test_an_async_class_hears_that_its_caller_has_gone() -> None:
    started, cancelled = threading.Event(), threading.Event()

    class Waiting:
        async def infer(self, inputs: dict[str, Any]) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    served = replica(lambda: PythonModel("tests:T", Waiting(), threads=1))
    await served.check_health()
    asking = asyncio.create_task(served.infer(a_request("Hello"), 1.0))
    await asyncio.to_thread(started.wait, 10)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(cancelled.wait, 10)


class Hanging:
    """Hangs where it is asked to, until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def infer(self, inputs: dict[str, Any]) -> str:
        if inputs["text"] == "hang":
            self.begun.set()
            self.released.wait(WAIT_S)
        return "fine"


class Stuck:
    """A replica whose model hangs for a caller who has gone."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.hanging = Hanging()
        self.model = PythonModel("tests:T", self.hanging, threads=2, clock=self.clock)
        self.replica = replica(lambda: self.model)

    async def __aenter__(self) -> Self:
        await self.replica.check_health()
        asking = asyncio.ensure_future(self.replica.infer(a_request("hang"), 1.0))
        assert await asyncio.to_thread(self.hanging.begun.wait, WAIT_S)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hanging.released.set()


async def test_work_that_has_not_advanced_for_stall_seconds_fails_the_health_check_in_one_line(
    events: list[dict[str, Any]],
) -> None:
    async with Stuck() as stuck:
        stuck.clock.now = STALL_S

        with pytest.raises(StalledError, match=r"^m: its work has not advanced for 60 s \(stall_seconds: 60\)$"):
            await stuck.replica.check_health()

    assert [(e["model"], e["seconds"]) for e in events if e["event"] == "model_stalled"] == [("m", STALL_S)]


async def test_work_that_has_not_advanced_for_less_than_that_is_healthy() -> None:
    async with Stuck() as stuck:
        stuck.clock.now = STALL_S - 1

        await stuck.replica.check_health()


async def test_a_replica_of_which_one_thread_hangs_and_another_answers_is_healthy() -> None:
    async with Stuck() as stuck:
        stuck.clock.now = STALL_S
        assert await stuck.replica.infer(a_request("Hello"), 1.0) == Answered("fine")

        await stuck.replica.check_health()


async def test_a_replica_without_work_is_healthy_however_long_ago_the_last_was() -> None:
    async with Stuck() as stuck:
        stuck.hanging.released.set()
        assert await stuck.replica.infer(a_request("Hello"), 1.0) == Answered("fine")
        stuck.clock.now = 100 * STALL_S

        await until(lambda: stuck.model.stalled_s() == 0.0)
        await stuck.replica.check_health()
