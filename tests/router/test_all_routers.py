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
from deployments.router.service_status import status_of_service
from deployments.settings import PolicySettings
from tests.serving import FakeCluster, Replica, application

SOUND = {"on": True, "sound": True, "asked": 1, "failures_in_a_row": 0, "reason": ""}
MODEL = {"state": "ready", "breaker": "closed", "failure_rate": 0.0, "in_flight": 1, "limit": 8, "p50_s": 0.1}


def said(replica: str, models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a router says of itself."""
    return {
        "router": 7,
        "replica": replica,
        "default_model": "m",
        "discovery_age_s": 0.5,
        "models": models,
        "backup": {"state": "ready", "in_flight": 0, "limit": 8},
        "canary": SOUND,
        "cache": {"on": False},
        "access": {"keys": None},
        "warnings": [],
        "discovery_trouble": "",
        "responses": {"on": False, "reachable": True, "reason": ""},
        "traces": {"on": False, "reachable": True, "reason": "", "sent": 0, "dropped": 0},
        "interventions": {"holds": {}, "backup_share": 0.0, "changed_at": 0.0},
        "background": {"discovery": {"running": True, "ends": 0, "reason": ""}},
        "answers": {"primary": 1, "backup": 2, "cache": 0, "last_resort": 3},
        **dict.fromkeys(("in_flight", "arriving", "waiting", "turned_away", "abandoned", "drills"), 1),
        **changes,
    }


def problems(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["severity"], each["where"], each["what"]) for each in status["problems"]]


def test_counts_are_summed_and_a_model_is_as_its_worst_router_sees_it() -> None:
    worse = {**MODEL, "state": "loading", "reason": "loads", "breaker": "halfopen", "in_flight": 2, "p50_s": 0.3}

    status = status_of_service(said("r2", {"m": MODEL}), [said("r1", {"m": worse})], {})

    assert (status["in_flight"], status["answers"]) == (2, {"primary": 2, "backup": 4, "cache": 0, "last_resort": 6})
    merged = {**MODEL, "state": "loading", "reason": "loads", "breaker": "halfopen", "in_flight": 3, "limit": 16}
    assert status["models"]["m"] == {**merged, "p50_s": 0.3}
    assert [(each["replica"], each["models"]["m"]["breaker"]) for each in status["routers"]] == [
        ("r1", "halfopen"),
        ("r2", "closed"),
    ]


def test_a_model_that_a_router_has_not_found_yet_is_not_called_ready() -> None:
    status = status_of_service(said("r1", {}), [said("r2", {"m": MODEL})], {})

    assert (status["models"]["m"]["state"], status["models"]["m"]["limit"]) == ("loading", 8)


def test_where_all_is_well_there_is_no_problem() -> None:
    assert status_of_service(said("r1", {"m": MODEL, "idle": {"state": "idle"}}), [], {})["problems"] == []


def test_what_is_wrong_is_told_in_a_line_each_errors_first() -> None:
    ended = {"discovery": {"running": False, "ends": 1, "reason": "KeyError: 'x'"}}
    models = {
        "full": {**MODEL, "in_flight": 8},
        "failed": {"state": "failed", "reason": "no weights"},
        "open": {**MODEL, "breaker": "open"},
        "old": {**MODEL, "update_failed": "OSError: no file"},
        "loose": {**MODEL, "behind": ["json_object"]},
        "loading": {"state": "loading", "reason": "40 s so far"},
    }
    own = said("r1", models, discovery_age_s=12.0, background=ended, backup={"state": "loading", "reason": "loads"})
    own["canary"] = {**SOUND, "sound": False, "reason": "blank"}
    other = said("r2", dict.fromkeys(models, MODEL), discovery_age_s=1e9)

    told = problems(status_of_service(own, [other], {"r3": "no answer within 2 s"}))

    assert told == [
        ("error", "router r3", "runs, and was not heard: no answer within 2 s"),
        ("error", "router r1", "has not heard from Serve for 12 s: it knows the models of before"),
        ("error", "router r1", "its task discovery does not run: KeyError: 'x'"),
        ("error", "router r2", "has not heard from Serve yet: it knows the models of before"),
        ("error", "backup", "is loading: behind the models is only the last resort: loads"),
        ("error", "backup", "did not answer well when it was exercised: blank"),
        ("error", "model failed", "has failed: no weights"),
        ("error", "model open", "its breaker is open in 1 of 2 routers"),
        ("warning", "model full", "is at its limit in a router: 8 of 8 attempts at a time"),
        ("warning", "model loading", "is loading: 40 s so far"),
        ("warning", "model loose", "is put behind for json_object: its last answers had not that form"),
        ("warning", "model old", "runs in its old version, as the new one cannot be loaded: OSError: no file"),
    ]


@pytest.mark.parametrize("where", ["cache", "responses", "traces"])
def test_what_one_router_cannot_reach_outside_is_told_where_it_is_used(where: str) -> None:
    gone = {"on": True, "reachable": False, "reason": "ConnectionError: nobody listens"}
    reached = {"on": True, "reachable": True, "reason": ""}

    status = status_of_service(said("r1", {}, **{where: reached}), [said("r2", {}, **{where: gone})], {})
    off = status_of_service(said("r1", {}, **{where: {**gone, "on": False}}), [], {})

    ((severity, told, what),) = problems(status)
    assert (severity, told, what.endswith("ConnectionError: nobody listens")) == ("warning", where, True)
    assert (status[where]["reachable"], off["problems"]) == (False, [])


def test_a_head_that_answers_one_router_is_not_away() -> None:
    away = {"discovery_trouble": "TimeoutError: ", "discovery_age_s": 12.0}

    one = status_of_service(said("r1", {}, **away), [said("r2", {})], {})
    all_of_them = status_of_service(said("r1", {}, **away), [said("r2", {}, **away)], {})

    assert [where for _, where, _ in problems(one)] == ["router r1"]
    assert [where for _, where, _ in problems(all_of_them)] == ["head"]


# --- the real router, among others ------------------------------------------------------------------


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

    assert cluster.questions == 1
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


def test_a_file_of_keys_that_does_not_fit_is_a_problem_of_the_service() -> None:
    access = {"keys": 2, "trouble": "keys.yaml: is not YAML", "unknown_models": {"team": ["typo"]}}

    found = problems(status_of_service(said("r1", {}, access=access), [], {}))

    assert [each[:2] for each in found] == [("error", "keys"), ("warning", "key team")]
