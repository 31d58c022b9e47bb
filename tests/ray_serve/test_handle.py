"""Calls through handles: whatever Ray raises is an outcome, and what is given up is cancelled down to the replica."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.policy.outcome import Answered, Failed, Finished, Outcome, Refused, StreamItem
from deployments.ray_serve.handle import ServeReplicas
from deployments.ray_serve.replica_watch import ReplicaCall, ReplicaWatch
from tests.fakes import a_request, begun_stream, read_stream, read_whole


class Response:
    """What a handle's `remote` gives: awaited, or iterated."""

    def __init__(self, script: list[Any]) -> None:
        self._script = script
        self.cancelled = False

    def __await__(self) -> Any:
        return self._one(self._script[0]).__await__()

    async def _one(self, item: Any) -> Any:
        if isinstance(item, BaseException):
            raise item
        if item is WAITS:
            await asyncio.Event().wait()
        return item

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._script:
            yield await self._one(item)

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A deployment handle whose calls do what the script says."""

    def __init__(self, *script: Any) -> None:
        self.response = Response(list(script))
        self.refuses: Exception | None = None

    def broadcast(self, *_: Any) -> "Handle":
        return self

    async def results_async(self, timeout_s: float, *, return_exceptions: bool = False) -> list[Any]:
        assert timeout_s > 0
        return list(self.response._script) if return_exceptions else [await self.response]

    def options(self, **_: Any) -> "Handle":
        return self

    def __getattr__(self, _: str) -> "Handle":
        return self

    def remote(self, *_: Any) -> Response:
        if self.refuses is not None:
            raise self.refuses
        return self.response


WAITS = object()
ACTOR = b"\x01" * 16
ERRORS = [
    (BackPressureError(num_queued_requests=1, max_queued_requests=1), Refused, False),
    (DeploymentUnavailableError("a"), Refused, False),
    (RayActorError(), Failed, True),
    (RuntimeError("boom"), Failed, False),
    (asyncio.CancelledError(), Failed, True),
]


async def call(*script: Any) -> Outcome:
    return await read_whole(ServeReplicas(Handle(*script), "m"), a_request())


async def test_a_full_queue_is_told_from_a_deployment_that_cannot_start() -> None:
    full = await call(BackPressureError(num_queued_requests=1, max_queued_requests=1))
    gone = await call(DeploymentUnavailableError("a"))

    assert [isinstance(each, Refused) and each.full for each in (full, gone)] == [True, False]


async def stream(*script: Any) -> list[StreamItem]:
    return await read_stream(ServeReplicas(Handle(*script), "m"), a_request())


@pytest.mark.parametrize(("error", "kind", "transient"), ERRORS, ids=lambda value: type(value).__name__)
async def test_what_serve_raises_is_an_outcome(error: BaseException, kind: type[Outcome], *, transient: bool) -> None:
    outcome = await call(error)

    assert isinstance(outcome, kind)
    assert getattr(outcome, "transient", False) is transient


@pytest.mark.parametrize(("error", "kind", "transient"), ERRORS, ids=lambda value: type(value).__name__)
async def test_what_serve_raises_in_a_stream_is_its_end(
    error: BaseException, kind: type[Outcome], *, transient: bool
) -> None:
    text, end = await stream("a", error)

    assert text == "a"
    assert isinstance(end, kind)
    assert getattr(end, "transient", False) is transient


@pytest.mark.parametrize(
    ("error", "lost_later"),
    [(ActorDiedError(ActorDiedErrorContext(actor_id=ACTOR)), 1), (ActorUnavailableError("no network", ACTOR), 0)],
    ids=["died", "unavailable"],
)
@pytest.mark.looptime
async def test_a_replica_that_died_is_lost_for_good_and_one_that_is_unavailable_for_seconds(
    error: Exception, lost_later: int
) -> None:
    replicas = ServeReplicas(Handle(error), "m")
    actors = [ACTOR.hex(), "another one"]
    before = replicas.lost(actors)
    await replicas.start(a_request(), 1.0)
    after, of_a_member = replicas.lost(actors), replicas.member("one of its models").lost(actors)
    await asyncio.sleep(60)

    assert (before, after, of_a_member) == (0, 1, 1)
    assert replicas.lost(actors) == lost_later


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_cannot_even_be_sent_has_failed_and_is_watched_no_longer(*, stream: bool) -> None:
    handle, watch = Handle(WAITS), ReplicaWatch()
    handle.refuses = RuntimeError("the router of the handle is gone")
    request = replace(a_request(), stream=stream)

    outcome = await ServeReplicas(handle, "m", watch).start(request, 1.0)

    assert outcome == Failed("RuntimeError: the router of the handle is gone")
    assert not watch._calls


async def test_what_the_replica_gives_is_passed_on() -> None:
    assert await call(Answered("x")) == Answered("x")
    assert await stream("a", "", Finished()) == ["a", "", Finished()]


async def test_what_no_replica_of_ours_would_give_is_a_failure() -> None:
    assert isinstance(await call({"result": "x"}), Failed)
    assert isinstance((await stream("a", 5))[-1], Failed)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_no_replica_of_ours_would_give_counts_against_its_replica(*, stream: bool) -> None:
    told = []

    class Told(ReplicaWatch):
        def close(self, call: ReplicaCall) -> None:
            told.append(call.outcome)
            super().close(call)

    await ServeReplicas(Handle(7), "m", Told()).start(replace(a_request(), stream=stream), 1.0)

    assert told == [Failed("its replica gave a int")]


async def test_a_stream_without_an_end_was_cut() -> None:
    assert await stream("a") == ["a", Failed("its stream was cut", transient=True)]


async def test_a_call_that_is_given_up_is_cancelled_at_the_replica() -> None:
    handle = Handle(WAITS)
    calling = asyncio.ensure_future(ServeReplicas(handle, "m").start(a_request(), 1.0))
    await asyncio.sleep(0)

    calling.cancel()
    await asyncio.wait([calling])

    assert calling.cancelled()
    assert handle.response.cancelled


async def test_a_stream_that_is_closed_is_cancelled_at_the_replica() -> None:
    handle = Handle("a", WAITS)
    begun = await begun_stream(ServeReplicas(handle, "m"), a_request())

    await begun.aclose()

    assert handle.response.cancelled


async def test_a_backup_that_cannot_be_told_what_comes_costs_the_router_nothing_but_a_line(events: Any) -> None:
    for script in (None, DeploymentUnavailableError("a"), TimeoutError()):
        await ServeReplicas(Handle(script), "m").expect("router", 3.0)

    told = [(line["model"], line["reason"].partition(":")[0]) for line in events]
    assert told == [("m", "DeploymentUnavailableError"), ("m", "TimeoutError")]
    assert {line["event"] for line in events} == {"expectation_unheard"}


async def test_only_so_many_dead_replicas_are_remembered() -> None:
    replicas = ServeReplicas(Handle(WAITS), "m")
    for number in range(1000):
        replicas._lose(ActorDiedError(ActorDiedErrorContext(actor_id=number.to_bytes(16, "big"))))

    assert len(replicas._lost) < 1000
    assert replicas.lost([(999).to_bytes(16, "big").hex()]) == 1
