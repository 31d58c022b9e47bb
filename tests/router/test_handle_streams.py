"""Streams through a deployment handle: pieces, signs of life, and the body at the end."""

import asyncio
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.policy.outcome import Outcome
from deployments.request import InferenceRequest
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import FakeCluster, Replica, application
from tests.streamers import Beat, Script, ScriptedStreamer, ends, says, streams

pytestmark = pytest.mark.looptime


class Streams(Replica):
    """Replicas that stream by a script."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.model: ScriptedStreamer = streams(script)

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome | Begun:  # type: ignore[override]
        return await self.model.start(request, budget_s)


async def a_router(script: Script, **policy: Any) -> tuple[Router, ScriptedStreamer]:
    cluster, model = FakeCluster(a=application("a")), Streams(script)
    cluster.replicas["a"] = model
    given = {"silence": {"enabled": False}, "streams": {"keepalive_seconds": 3.5}, **policy}
    router = Router(cluster, Replica(), "backup", PolicySettings().with_overrides(given, {}))
    await router._registry.refresh()
    return router, model.model


ASKED = {"text": "Hi", "tiers": ["primary"]}


async def test_while_a_model_is_silent_the_caller_of_a_handle_gets_signs_of_life_with_no_text() -> None:
    router, _ = await a_router([Beat("", 4.0), Beat("", 4.0), *says("Hel", "lo", every_s=4.0), Beat("", 5.0), *ends()])

    *pieces, answer = [piece async for piece in router.infer_stream(ASKED, "a")]

    told = [(piece["text"], piece["model"], piece["served_by"]) for piece in pieces]
    waiting, reasoning = ("", "", "pending"), ("", "a", "primary")
    assert told == [*[waiting] * 3, ("Hel", "a", "primary"), reasoning, ("lo", "a", "primary"), reasoning]
    assert answer["result"] == "Hello"


async def test_without_keepalive_there_are_no_signs() -> None:
    script = [Beat("", 8.0), *says("Hello", every_s=4.0), *ends()]
    router, _ = await a_router(script, streams={"keepalive_seconds": 0})

    pieces = [piece async for piece in router.infer_stream(ASKED, "a")]

    assert [piece.get("text") for piece in pieces] == ["Hello", None]


async def test_a_caller_who_leaves_stops_the_model_whether_it_has_begun_or_not() -> None:
    for script in ([Beat("", 1.0), *says(*"Hello", every_s=4.0)], says(*"Hello")):
        router, model = await a_router(script)
        stream = router.infer_stream(ASKED, "a")
        await anext(stream)

        await stream.aclose()
        await asyncio.sleep(0)

        assert model.streams[0].closed
        assert router.describe()["in_flight"] == 0


async def test_a_mistake_is_told_as_the_body_of_its_problem() -> None:
    router, _ = await a_router(says("Hello"))

    (body,) = [piece async for piece in router.infer_stream({"text": ""}, "a")]

    assert body["error"]["field"] == "text"
