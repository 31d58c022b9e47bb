"""The plug of a host is pulled: nobody waits for what is behind it for long, and it is used again once it is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from deployments.policy.ejection import FIRST_S
from deployments.policy.outcome import Failed
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.simulation.hosts import Host, HostedCluster

pytestmark = pytest.mark.looptime

DEADLINE_S = 6.0


@asynccontextmanager
async def routing(cluster: HostedCluster) -> AsyncIterator[Router]:
    """A router over `cluster` with its background tasks, by the default policy."""
    router = Router(cluster, cluster.reached["backup"], "backup", PolicySettings())
    running = asyncio.ensure_future(router.run())
    await asyncio.sleep(0.1)
    try:
        yield router
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def ask(router: Router, model: str = "a") -> tuple[float, dict[str, Any]]:
    """The seconds that a request took, and its answer."""
    began = asyncio.get_running_loop().time()
    answer = await router.infer({"text": "Hi", "timeout": DEADLINE_S}, model)
    return asyncio.get_running_loop().time() - began, answer


async def ask_for(router: Router, seconds: float, clients: int = 4) -> list[tuple[float, float, dict[str, Any]]]:
    """What so many callers get for so long: when each request was sent, how long it took, and the answer."""
    loop = asyncio.get_running_loop()
    began, got = loop.time(), []

    async def caller() -> None:
        while (now := loop.time()) < began + seconds:
            took, answer = await ask(router)
            got.append((now - began, took, answer))

    await asyncio.gather(*(caller() for _ in range(clients)))
    return got


async def test_a_host_with_one_of_two_replicas_goes_silent_and_the_other_replica_answers() -> None:
    near, far = Host("near"), Host("far")
    cluster = HostedCluster(a=[near, far], backup=[near])
    async with routing(cluster) as router:
        await ask_for(router, 10.0)
        far.plugged.clear()
        during = await ask_for(router, 20.0)
        far.plugged.set()
        await asyncio.sleep(4.0)
        later = await ask_for(router, 2.0)

    assert max(took for _, took, _ in during) <= 3.0
    assert max(took for at, took, _ in during if at >= 2.0) <= 0.5
    assert {answer["result"] for at, _, answer in during if at >= 2.0} == {"a on near"}
    assert {answer["served_by"] for _, _, answer in during} <= {"primary", "backup"}
    assert {answer["result"] for _, _, answer in later} == {"a on near", "a on far"}


async def test_a_host_with_the_model_and_a_backup_goes_silent_and_the_other_backup_answers_at_once() -> None:
    near, far = Host("near"), Host("far")
    cluster = HostedCluster(a=[far], backup=[far, near])
    async with routing(cluster) as router:
        far.plugged.clear()  # nothing is known of the model: no history to judge its silence by
        during = await ask_for(router, 20.0)
        far.plugged.set()
        await asyncio.sleep(4.0)
        _, back = await ask(router)

    assert {answer["result"] for _, _, answer in during} == {"backup on near"}
    assert max(took for _, took, _ in during) <= 3.5
    assert max(took for at, took, _ in during if at >= 3.0) <= 0.5
    assert back["result"] == "a on far"


async def test_where_nobody_answers_a_request_waits_within_its_deadline_and_has_the_first_who_is_back() -> None:
    only = Host("only")
    async with routing(HostedCluster(a=[only], backup=[only])) as router:
        only.plugged.clear()
        first = await ask_for(router, 5.0, clients=1)
        asking = asyncio.ensure_future(ask(router))
        await asyncio.sleep(2.0)
        only.plugged.set()
        took, answer = await asking

    assert all(took <= DEADLINE_S for _, took, _ in first)
    assert answer["served_by"] != "last_resort"
    assert took <= 4.0
    assert "answer no ping" in answer["attempts"][0]["reason"]


async def test_a_stream_whose_host_goes_silent_is_continued_within_seconds() -> None:
    near, far = Host("near"), Host("far")
    cluster = HostedCluster(a=[far], backup=[near])
    cluster.deployments["a"].replicas["a-0"].takes_s = 4.0
    async with routing(cluster) as router:
        loop = asyncio.get_running_loop()
        loop.call_later(1.5, far.plugged.clear)
        began, stream = loop.time(), router.infer_stream({"text": "Hi", "timeout": 30}, "a")
        took, done = [(loop.time() - began, item) async for item in stream][-1]

    assert done["result"].startswith("a on far 0 backup on near")
    assert [tried["outcome"] for tried in done["attempts"]] == ["failed", "answered"]
    assert took <= 5.0


async def test_whoever_is_slow_and_answers_pings_is_waited_for() -> None:
    near = Host("near")
    cluster = HostedCluster(a=[near], backup=[near])
    cluster.deployments["a"].replicas["a-0"].takes_s = 2.5
    async with routing(cluster) as router:
        took, answer = await ask(router)
        owing = cluster.deployments["a"].pings
        cluster.deployments["a"].replicas["a-0"].takes_s = 0.2
        await ask_for(router, 5.0)

    assert (answer["result"], round(took, 1)) == ("a on near", 2.5)
    assert owing >= 2
    assert cluster.deployments["a"].pings == owing, "who answers in time is not pinged"


async def test_whoever_is_too_busy_for_a_ping_and_whose_process_lives_is_waited_for() -> None:
    near = Host("near")
    cluster = HostedCluster(a=[near], backup=[near])
    busy = cluster.deployments["a"].replicas["a-0"]
    busy.takes_s = busy.pings_take_s = 2.5
    async with routing(cluster) as router:
        took, answer = await ask(router)

    assert (answer["result"], round(took, 1)) == ("a on near", 2.5)
    assert cluster.deployments["a"].pings >= 2


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_a_replica_that_answers_pings_and_no_request_is_out_of_use_within_seconds_and_tried_again_later(
    *, hangs: bool
) -> None:
    near, far = Host("near"), Host("far")
    cluster = HostedCluster(a=[near, far], backup=[near])
    bad = cluster.deployments["a"].replicas["a-1"]
    async with routing(cluster) as router:
        await ask_for(router, 10.0)
        bad.says, bad.takes_s = lambda: Failed("broken"), 3600.0 if hangs else 0.01
        during = await ask_for(router, 6.0)
        bad.says, bad.takes_s = None, 0.2
        later = await ask_for(router, FIRST_S + 10.0)

    assert {answer["served_by"] for _, _, answer in during} <= {"primary", "backup"}
    assert {answer["result"] for at, _, answer in during if at >= 3.0} == {"a on near"}
    assert max(took for at, took, _ in during if at >= 3.0) <= 0.5
    assert {answer["result"] for at, _, answer in later if at >= FIRST_S + 5.0} == {"a on near", "a on far"}
