"""The first seconds of a router, and requests whose models are still coming, on virtual time: the real `Router`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deployments.execution.clock import loop_time
from deployments.policy.breaker import Open
from deployments.policy.outcome import Answered
from deployments.ray_serve.cluster import DeployedApplication
from deployments.router.answering import Answering
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.storage.keeper import ResponseKeeper
from deployments.upstream import Upstream, UpstreamPool
from tests.http.wire import send
from tests.serving import FakeCluster, Replica, application

pytestmark = pytest.mark.looptime

REMOTE = {"hosted": {"base_url": "https://api.example.com/v1", "model": "x"}}


class SlowCluster(FakeCluster):
    """Serve, whose controller answers after `delay_s`."""

    def __init__(self, delay_s: float = 0.0, **known: DeployedApplication) -> None:
        super().__init__(**known)
        self.delay_s = delay_s
        self.others: list[dict[str, bool]] = []

    async def applications(self) -> dict[str, DeployedApplication]:
        await asyncio.sleep(self.delay_s)
        return await super().applications()

    async def watch_replicas(self, policy: Any) -> None:
        await asyncio.Event().wait()

    async def routers_readiness(self) -> list[dict[str, bool]]:
        return self.others


@asynccontextmanager
async def running(cluster: FakeCluster, **policy: Any) -> AsyncIterator[Router]:
    """A router with its background tasks."""
    backup: Any = Replica()
    router = Router(cluster, backup, "backup", PolicySettings().with_overrides(policy, {}))
    tasks = asyncio.ensure_future(router.run())
    try:
        yield router
    finally:
        tasks.cancel()
        await asyncio.wait([tasks])


async def test_a_request_waits_for_the_first_look_and_its_model_answers() -> None:
    async with running(SlowCluster(2.0, a=application("a"))) as router:
        answer = await router.infer({"text": "Hi", "timeout": 10}, "a")

    assert (answer["served_by"], answer["degraded"]) == ("primary", False)


@pytest.mark.parametrize(("asked", "by_s"), [({"timeout": 3}, 3.0), ({"timeout": 3, "wait": False}, 0.1)])
async def test_where_serve_does_not_say_in_time_which_models_there_are_the_backup_answers_in_time(
    asked: dict[str, Any], by_s: float
) -> None:
    async with running(SlowCluster(9.0, a=application("a"))) as router:
        answer = await router.infer({"text": "Hi", **asked}, "a")
        took = loop_time()

    assert answer["served_by"] == "backup"
    assert "not ready: this router has not seen the models yet" in [tried["reason"] for tried in answer["attempts"]]
    assert took < by_s


async def test_a_router_that_ends_closes_everything_whatever_one_part_of_it_raises(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    closed = []
    for part in (UpstreamPool, Answering, ResponseKeeper):

        async def close(_: object, name: str = part.__name__) -> None:
            closed.append(name)
            raise OSError(name)

        monkeypatch.setattr(part, "aclose", close)

    async with running(FakeCluster()):
        await asyncio.sleep(0.1)

    assert closed == ["UpstreamPool", "Answering", "ResponseKeeper"]
    assert [event["where"] for event in events if event["event"] == "internal_error"] == ["router"] * 3


async def test_a_request_for_a_remote_model_does_not_wait_for_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(*_: object) -> Answered:
        return Answered("from afar")

    monkeypatch.setattr(Upstream, "start", start)
    async with running(SlowCluster(9.0), remotes=REMOTE) as router:
        answer = await router.infer({"text": "Hi"}, "hosted")

        assert (answer["result"], loop_time()) == ("from afar", 0.0)


async def test_a_model_that_fails_while_it_is_waited_for_is_waited_for_no_longer() -> None:
    cluster = SlowCluster(a=application("a", status="DEPLOYING", running=0, starting=1))
    async with running(cluster) as router:
        asyncio.get_running_loop().call_later(
            1.0, cluster.known.__setitem__, "a", application("a", status="DEPLOY_FAILED", running=0, message="no GPU")
        )
        answer = await router.infer({"text": "Hi", "tiers": ["primary"]}, "a")

        assert answer["served_by"] == "last_resort"
        assert loop_time() < 2.0
    assert answer["attempts"][-1]["reason"] == "it failed to start: no GPU"
    assert len(answer["attempts"]) == 2


async def test_a_request_that_finds_no_place_to_wait_gets_retry_after() -> None:
    loading = application("a", status="DEPLOYING", running=0, starting=1)
    async with running(SlowCluster(a=loading), admission={"max_waiting": 0}) as router:
        response = await send(router, "/v1/infer/a", {"text": "Hi", "tiers": ["primary"]})

    assert response.json()["served_by"] == "last_resort"
    assert response.headers["retry-after"] == "1"


async def test_a_request_that_waits_has_serve_asked_again_at_once() -> None:
    cluster = SlowCluster(a=application("a", status="DEPLOYING", running=0, starting=1))
    async with running(cluster, discovery_seconds=60) as router:
        await asyncio.sleep(10.0)
        cluster.known["a"] = application("a")
        answer = await router.infer({"text": "Hi", "tiers": ["primary"]}, "a")

        assert answer["served_by"] == "primary"
        assert loop_time() < 11.0


async def test_before_its_first_look_a_router_calls_nothing_ready() -> None:
    async with running(SlowCluster(5.0, a=application("a")), remotes=REMOTE) as router:
        assert router.readiness() == {"primary": False, "backup": False, "last_resort": True}
        await asyncio.sleep(6.0)

        assert router.readiness() == {"primary": True, "backup": True, "last_resort": True}


async def test_a_remote_model_whose_breaker_is_open_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(SlowCluster(), remotes=REMOTE) as router:
        await asyncio.sleep(1.0)
        assert router.readiness()["primary"]

        monkeypatch.setattr(router._resilience, "state", lambda _: Open(1, 9.0))
        assert not router.readiness()["primary"]


@pytest.mark.parametrize(("other", "status"), [(True, 200), (False, 503)])
async def test_the_service_is_ready_when_every_router_would_answer_with_a_model(*, other: bool, status: int) -> None:
    cluster = SlowCluster(a=application("a"))
    cluster.others = [{"primary": True, "backup": True}, {"primary": other, "backup": False}]
    async with running(cluster) as router:
        response = await send(router, "/readyz")

    assert response.status_code == status


async def test_a_service_whose_routers_do_not_answer_is_not_ready() -> None:
    async with running(SlowCluster(a=application("a"))) as router:
        assert (await send(router, "/readyz")).status_code == 503
