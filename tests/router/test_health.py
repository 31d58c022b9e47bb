"""When a router is about to be replaced, by the health check that Serve and `GET /healthz` ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from deployments.ray_serve.cluster import DeployedApplication
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.http.wire import send
from tests.serving import OWN, FakeCluster, Replica, application

pytestmark = pytest.mark.looptime

WELL = (200, {"status": "alive"})


class HungCluster(FakeCluster):
    """Serve, which hangs while `answers` is not set.

    Attributes:
        stubborn: the look goes on though it is given up, as one in a library that takes no cancellation.
    """

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__(**{OWN: application(OWN), "a": application("a")})
        self.stubborn = stubborn
        self.answers = asyncio.Event()
        self.answers.set()

    async def applications(self) -> dict[str, DeployedApplication]:
        while not self.answers.is_set():
            with suppress(*[asyncio.CancelledError] * self.stubborn):
                await self.answers.wait()
        return await super().applications()

    async def is_exposed(self) -> bool:
        await self.answers.wait()
        return False


@asynccontextmanager
async def running(cluster: HungCluster) -> AsyncIterator[Router]:
    """A router whose tasks run, and that has looked at Serve once."""
    replica: Any = Replica()
    router = Router(cluster, replica, "backup", PolicySettings())
    task = asyncio.create_task(router.run())
    await asyncio.sleep(1.0)
    try:
        yield router
    finally:
        cluster.answers.set()
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])


async def health(router: Router) -> tuple[int, Any]:
    told = await send(router, "/healthz")
    return told.status_code, told.json()


async def test_a_router_whose_look_for_models_has_not_ended_for_fifteen_seconds_is_failing_until_it_does() -> None:
    cluster = HungCluster(stubborn=True)
    async with running(cluster) as router:
        first = await health(router)
        cluster.answers.clear()  # the next look begins within a second
        await asyncio.sleep(14.5)
        at_fourteen = await health(router)
        await asyncio.sleep(2.0)
        status, told = await health(router)
        with pytest.raises(RuntimeError, match=r"no refresh of the models was tried for 1[5-6] s"):
            await router.check_health()
        cluster.answers.set()
        await asyncio.sleep(0.5)
        after = await health(router)

    assert first == at_fourteen == after == WELL
    assert (status, told["status"]) == (503, "failing")
    assert "no refresh of the models was tried for" in told["reason"]


async def test_a_router_whose_looks_for_models_can_be_given_up_stays_however_long_serve_and_its_replicas_hang() -> None:
    cluster = HungCluster()
    async with running(cluster) as router:
        told = [await health(router)]
        cluster.replicas["a"].waits = asyncio.Event()
        cluster.known["a"] = application("a", deployed_at=2.0)  # whose replica is asked what it is
        for second in range(80):
            if second == 20:
                cluster.answers.clear()
            await asyncio.sleep(1.0)
            told.append(await health(router))
        asked = cluster.replicas["a"].asked

    assert told == [WELL] * 81
    assert asked > 5


async def test_a_serve_that_does_not_say_whether_the_port_is_open_fails_the_check_within_its_time() -> None:
    cluster = HungCluster()
    cluster.answers.clear()
    async with running(cluster) as router:
        began = asyncio.get_running_loop().time()
        status, told = await health(router)
        took_s = asyncio.get_running_loop().time() - began

    assert status == 503
    assert took_s == pytest.approx(5.0, abs=0.1)
    assert "does not say whether other machines can reach the port" in told["reason"]
