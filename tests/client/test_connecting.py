"""When `InferenceEngine` connects, what it leaves behind, and what its caller gets where it cannot."""

import asyncio
from typing import Any

import pytest

from deployments import InferenceEngine
from deployments.ray_serve import attach
from tests.client.test_engine import PIECE, WAITS, Handle, engine, stream

BODY = {"result": "Hello to you", "served_by": "primary"}


class Cluster:
    """The cluster of this process.

    Attributes:
        connected: this process is connected.
        handle: to the router; an error is raised by whoever attaches.
        attached: the Serve config of each time somebody did.
    """

    def __init__(self) -> None:
        self.connected = False
        self.handle: Any = None
        self.attached: list[str] = []

    async def attach_or_start(self, config: str) -> Any:
        self.attached.append(config)
        if isinstance(self.handle, asyncio.CancelledError):
            self.connected = True  # it is being started, and its caller leaves
            raise self.handle
        if isinstance(self.handle, Exception):
            raise self.handle
        self.connected = True
        return self.handle

    def disconnect(self) -> None:
        self.connected = False


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(attach, "attach_or_start", cluster.attach_or_start)
    monkeypatch.setattr(attach, "is_connected", lambda: cluster.connected)
    monkeypatch.setattr(attach, "disconnect", cluster.disconnect)
    return cluster


async def test_an_engine_connects_once_and_leaves_the_cluster_that_it_has_joined(cluster: Cluster) -> None:
    cluster.handle = Handle(BODY, BODY, BODY)

    async with InferenceEngine("mine.yaml") as used:
        assert cluster.attached == ["mine.yaml"]
        assert await used.execute_inference({"text": "Hello"}) == BODY
        assert await used.run_inference("m", {"text": "Hello"}) == BODY
        assert await used.status() == BODY

    assert cluster.attached == ["mine.yaml"]
    assert not cluster.connected


async def test_a_connection_that_was_there_before_the_engine_stays(cluster: Cluster) -> None:
    cluster.connected, cluster.handle = True, Handle(BODY)

    async with InferenceEngine():
        pass

    assert cluster.connected


@pytest.mark.parametrize("way", ["whole", "stream"])
async def test_where_no_service_can_be_reached_or_started_the_last_resort_answers(cluster: Cluster, way: str) -> None:
    cluster.handle = RuntimeError("no such file")
    used = InferenceEngine()

    if way == "whole":
        answers = [await used.run_inference("m", {"text": "Hello"})]
    else:
        answers = [item async for item in used.stream_inference({"text": "Hello"})]

    assert {answer["served_by"] for answer in answers} == {"last_resort"}
    assert answers[-1]["reason"] == "RuntimeError: no such file"
    assert answers[-1]["result"] == answers[0].get("text", answers[0].get("result"))


async def test_a_stream_that_just_stops_was_cut_and_ends_with_the_last_resort() -> None:
    first, last_words, answer = await stream(Handle(PIECE))

    assert (first, last_words["served_by"]) == (PIECE, "last_resort")
    assert answer["result"] == first["text"] + last_words["text"]
    assert "was cut" in answer["reason"]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("inputs", "deadline_s"),
    [({"timeout": 4}, 4.0), ({"timeout": 1e9}, 300.0), ({"timeout": "soon"}, 30.0), ("no mapping", 30.0)],
    ids=str,
)
async def test_a_router_is_waited_for_as_long_as_it_may_take_by_the_request(inputs: Any, deadline_s: float) -> None:
    answer = await engine(Handle(WAITS)).run_inference("m", inputs)

    assert answer["served_by"] == "last_resort"
    assert asyncio.get_running_loop().time() == pytest.approx(deadline_s + 2.0, abs=0.5)


@pytest.mark.looptime
async def test_the_backup_is_waited_for_while_it_loads() -> None:
    states = [{"backup": {"state": state}} for state in ("loading", "loading", "ready")]

    assert await engine(Handle(*states))._load_backup_model() == {"state": "ready"}


@pytest.mark.looptime
async def test_a_backup_that_goes_on_loading_is_waited_for_no_longer_than_was_asked() -> None:
    with pytest.raises(TimeoutError):
        await engine(Handle(*[{"backup": {"state": "loading"}}] * 1000))._load_backup_model(3.0)


async def test_what_was_started_for_a_caller_that_left_ends_with_the_engine(cluster: Cluster) -> None:
    cluster.handle = asyncio.CancelledError()
    used = InferenceEngine()
    with pytest.raises(asyncio.CancelledError):
        await used.run_inference("m", {"text": "Hello"})
    cluster.handle = Handle(BODY)
    assert await used.run_inference("m", {"text": "Hello"}) == BODY

    used.close()

    assert not cluster.connected
