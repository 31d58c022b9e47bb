"""One router tells of all of them: counts summed, the worst state of each model, and who was not heard."""

import asyncio
from typing import Any

import pytest

from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.problem import InvalidRequestError
from deployments.ray_serve.routers import ASK_ROUTERS_S, ask_each
from deployments.request.acts import Act, ActKind
from deployments.router.all_routers import MOST_WAITING
from deployments.router.handle_methods import HandleMethods
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import FakeCluster, Replica, application


async def two_routers(**others: Any) -> tuple[Router, FakeCluster]:
    """A router that knows the model `a`, and has looked at Serve; `others` run beside it."""
    cluster = FakeCluster(a=application("a"))
    backup: Any = Replica()
    router = Router(cluster, backup, "backup", PolicySettings())
    second = Router(FakeCluster(a=application("a")), backup, "backup", PolicySettings())
    for each in (router, second):
        await each._registry.refresh()
    cluster.routers = {"r1": router, **(others or {"r2": Named("r2", second)})}
    return router, cluster


class Named:
    """A router under a name of its own."""

    def __init__(self, replica: str, router: Router) -> None:
        self.replica, self.router = replica, router

    async def own_status(self) -> dict[str, Any]:
        return {**await self.router.own_status(), "replica": self.replica}

    async def own_act(self, *act: Any) -> str:
        await self.router.own_act(*act)
        return self.replica

    async def own_interventions(self) -> dict[str, Any]:
        return await self.router.own_interventions()

    async def own_fallbacks(self, *query: Any) -> dict[str, Any]:
        return {**await self.router.own_fallbacks(*query), "replica": self.replica}


async def test_the_status_of_a_router_is_that_of_all() -> None:
    router, cluster = await two_routers()
    await router.infer({"text": "Hi"}, "a")
    await cluster.routers["r2"].router.infer({"text": "Hi"}, "nobody")

    status = await router.status()

    assert [each["replica"] for each in status["routers"]] == ["r1", "r2"]
    assert status["answers"] == {"primary": 1, "backup": 1, "cache": 0, "last_resort": 0}


async def test_a_router_that_does_not_answer_is_told_of_and_hides_no_other_one() -> None:
    router, _ = await two_routers(r2=None)

    status = await router.status()

    assert (status["unheard"], len(status["routers"])) == ({"r2": "no answer within 2 s"}, 1)


async def test_a_router_that_cannot_ask_the_others_tells_what_it_knows() -> None:
    router, cluster = await two_routers()
    cluster.trouble = RuntimeError("no controller")

    status = await router.status()

    assert (status["unheard"], status["replica"]) == ({"r2": "RuntimeError: no controller"}, "r1")


async def test_fallbacks_of_all_routers_are_found_without_what_was_said() -> None:
    router, cluster = await two_routers()
    await router.infer({"text": "a secret"}, "nobody")
    await cluster.routers["r2"].router.infer({"text": "a secret"}, "no one")
    await router.infer({"text": "Hi"}, "a")

    told = await router.fallbacks_of_all(FallbackQuery())

    assert {each["asked"] for each in told["fallbacks"]} == {"nobody", "no one"}
    assert all(each["model"] == "backup" for each in told["fallbacks"])
    assert "from the replica" not in str(told)
    assert "secret" not in str(told)


@pytest.mark.looptime
async def test_whoever_asks_while_the_routers_are_asked_gets_the_same_answer() -> None:
    router, cluster = await two_routers()
    cluster.pause_s = 1.0

    told = await asyncio.gather(*(router.status() for _ in range(50)))
    ready = await asyncio.gather(*(router.readiness_of_all() for _ in range(50)))

    assert cluster.questions == 2
    assert all(each == ready[0] for each in ready)
    assert all(each == told[0] for each in told)


@pytest.mark.looptime
async def test_different_questions_have_a_bound_and_an_act_waits_for_none_of_them() -> None:
    router, cluster = await two_routers()
    cluster.pause_s = 1.0
    asked = [asyncio.create_task(router.fallbacks_of_all(FallbackQuery(since=each))) for each in range(MOST_WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(InvalidRequestError, match="too many at a time"):
        await router.fallbacks_of_all(FallbackQuery(since=1e6))
    began = asyncio.get_running_loop().time()
    await router.act(Act(ActKind.SHIFT, share=0.5))

    assert asyncio.get_running_loop().time() - began == 2 * cluster.pause_s
    assert len(await asyncio.gather(*asked)) == MOST_WAITING


async def test_an_act_changes_what_was_done_through_other_routers_before_and_loses_none_of_it() -> None:
    router, cluster = await two_routers()
    await cluster.routers["r2"].router.own_act("hold", "a", 0.0, 4e9)  # its clock is ahead

    await router.act(Act(ActKind.SHIFT, share=0.5))
    told = [each["interventions"] for each in (router.describe(), cluster.routers["r2"].router.describe())]

    assert told[0] == told[1]
    assert (told[0]["holds"], told[0]["backup_share"]) == ({"a": "held"}, 0.5)


# --- one question to all -----------------------------------------------------------------------------


class Result:
    """What one router answers, after a while; Serve's `ReplicaResult`."""

    def __init__(self, answer: Any, after_s: float = 0.0) -> None:
        self.answer, self.after_s = answer, after_s
        self.cancelled = False

    async def get_async(self) -> Any:
        await asyncio.sleep(self.after_s)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Serve's handle of the routers."""

    def __init__(self, *results: Result) -> None:
        self.results = results

    def broadcast(self, question: str, *arguments: Any) -> "Handle":
        assert hasattr(HandleMethods, question), question
        return self

    async def _fetch_replica_results_async(self) -> list[Result]:
        return list(self.results)


@pytest.mark.looptime
async def test_a_router_that_is_late_fails_or_goes_hides_no_answer_of_the_others() -> None:
    late = Result("never", 1e6)
    handle: Any = Handle(late, Result(1), Result(OSError("gone")), Result(asyncio.CancelledError()), Result(2, 1.0))
    began = asyncio.get_running_loop().time()

    heard = await ask_each(handle, "own_status")

    assert heard.answers == [1, 2]
    assert heard.reasons == ["no answer within 2 s", "OSError: gone", "the call was cancelled"]
    assert late.cancelled
    assert asyncio.get_running_loop().time() - began == ASK_ROUTERS_S


@pytest.mark.looptime
async def test_a_router_that_is_silent_is_asked_no_longer_once_whoever_asked_has_gone() -> None:
    silent = Result("never", 1e6)
    handle: Any = Handle(silent)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask_each(handle, "own_status"), ASK_ROUTERS_S / 2)

    assert silent.cancelled


async def test_where_no_router_runs_nobody_is_asked() -> None:
    nobody: Any = Handle()

    assert (await ask_each(nobody, "own_status")).answers == []
