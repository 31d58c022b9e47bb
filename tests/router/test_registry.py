"""Which models there are, as the router learns it from Serve."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from deployments.policy.attempt import Candidate, Tier
from deployments.policy.outcome import Answered, Outcome, Refused
from deployments.router.registered_model import Readiness
from deployments.router.registry import Registry
from tests.fakes import a_request, read_whole
from tests.serving import OWN, READY, SERVER, FakeCluster, Replica, application


async def ask(registry: Registry, model: str) -> Outcome:
    return await read_whole(registry.find(model), a_request(), 1.0)


async def test_a_model_with_a_running_replica_is_asked() -> None:
    registry = Registry(FakeCluster(a=application("a")), Replica())
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from the replica")
    assert registry.models["a"].state == "ready"


async def test_a_model_nobody_serves_is_refused() -> None:
    registry = Registry(FakeCluster(), Replica())
    await registry.refresh()

    assert await ask(registry, "a") == Refused("unknown model")


async def test_a_model_without_a_running_replica_is_refused_as_serve_would_let_the_call_wait() -> None:
    registry = Registry(FakeCluster(a=application("a", running=0, starting=1, status="DEPLOYING")), Replica())
    await registry.refresh()

    assert await ask(registry, "a") == Refused("not ready: no replica has started yet", soon=True)
    assert registry.models["a"].state == "loading"


async def test_a_model_whose_only_replica_a_call_saw_die_is_refused_until_serve_has_replaced_it() -> None:
    cluster = FakeCluster(a=application("a", actors=frozenset({"1"})))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].dead.add("1")
    died = await ask(registry, "a")
    cluster.known["a"] = application("a", actors=frozenset({"1"}))  # as it has not noticed yet
    await registry.refresh()
    still = await ask(registry, "a")
    cluster.known["a"] = application("a", actors=frozenset({"2"}))
    await registry.refresh()

    assert died == still == Refused("not ready: its replica has been lost", soon=True)
    assert await ask(registry, "a") == Answered("from the replica")


async def test_a_model_with_another_replica_than_the_one_that_died_is_asked() -> None:
    cluster = FakeCluster(a=application("a", running=2, actors=frozenset({"1", "2"})))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].dead.add("1")

    assert await ask(registry, "a") == Answered("from the replica")


async def test_the_backup_is_asked_though_its_only_replica_died_as_nobody_is_behind_it() -> None:
    backup = Replica()
    registry = Registry(FakeCluster(**{OWN: application(OWN, actors=frozenset({"1"}))}), backup)
    await registry.refresh()
    backup.dead.add("1")

    assert await registry.backup.start(a_request(), 1.0) == Answered("from the replica")


async def test_a_model_that_could_not_be_built_is_refused_with_the_reason_and_hides_no_other() -> None:
    broken = application("a", built=False, running=0, status="DEPLOY_FAILED", message="bad spec")
    registry = Registry(FakeCluster(a=broken, b=application("b")), Replica())
    await registry.refresh()

    outcome = await ask(registry, "a")

    assert isinstance(outcome, Refused)
    assert "bad spec" in outcome.reason
    assert registry.models["a"].state == "failed"
    assert await ask(registry, "b") == Answered("from the replica")


async def test_a_model_that_is_built_in_the_end_is_asked() -> None:
    cluster = FakeCluster(a=application("a", built=False, running=0, status="DEPLOY_FAILED"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.known["a"] = application("a", deployed_at=2.0)
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from the replica")


@pytest.mark.parametrize("status", ["DEPLOYING", "DEPLOY_FAILED"])
async def test_a_model_whose_new_version_is_being_built_or_could_not_be_is_asked_as_before(status: str) -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    # Serve does not tell of the replicas of the version before.
    cluster.known["a"] = application("a", built=False, running=0, status=status, message="bad spec", deployed_at=2.0)
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from the replica")
    assert registry.models["a"].state == "ready"


async def test_a_new_version_that_could_not_be_started_is_told_beside_the_old_one_that_serves() -> None:
    failed = application("a", status="DEPLOY_FAILED", message="no weights")
    registry = Registry(FakeCluster(a=failed), Replica())
    await registry.refresh()

    assert registry.models["a"].to_json()["update_failed"] == "no weights"
    assert await ask(registry, "a") == Answered("from the replica")


async def test_an_idle_model_is_refused_and_woken_by_one_call_that_waits_however_many_ask() -> None:
    cluster = FakeCluster(a=application("a", running=0))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].waits = asyncio.Event()

    for _ in range(3):
        assert await ask(registry, "a") == Refused("not ready: no replica runs, one is being woken", soon=True)
        await registry.refresh()
    await asyncio.sleep(0)

    assert registry.models["a"].state == "idle"
    assert cluster.replicas["a"].asked == 1
    cluster.replicas["a"].waits.set()


async def test_the_models_of_a_pool_are_asked_by_their_own_names_and_the_pool_is_none() -> None:
    cluster = FakeCluster(pool=application("pool", pool=True))
    cluster.replicas["pool"] = Replica()
    cluster.replicas["pool"].described = READY | {"models": {"a": READY, "b": {"state": "failed", "reason": "gone"}}}
    registry = Registry(cluster, Replica())
    await registry.refresh()

    assert {name: entry.state for name, entry in registry.models.items()} == {"a": "ready", "b": "failed"}
    assert await ask(registry, "a") == Answered("from a")
    assert await ask(registry, "pool") == Refused("unknown model")


async def test_of_a_model_and_a_pools_of_one_name_the_one_with_an_application_of_its_own_is_asked() -> None:
    cluster = FakeCluster(pool=application("pool", pool=True), a=application("a"))
    cluster.replicas["pool"] = Replica()
    cluster.replicas["pool"].described = READY | {"models": {"a": READY}}
    registry = Registry(cluster, Replica())
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from the replica")


async def test_a_pool_that_does_not_answer_keeps_its_models() -> None:
    cluster = FakeCluster(pool=application("pool", pool=True))
    cluster.replicas["pool"] = Replica()
    cluster.replicas["pool"].described = READY | {"models": {"a": READY}}
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["pool"].described = RuntimeError("busy")
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from a")


async def test_a_model_that_is_taken_away_is_forgotten_and_that_is_told(events: Any) -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    del cluster.known["a"]
    await registry.refresh()

    assert await ask(registry, "a") == Refused("unknown model")
    assert [(line["event"], line["model"]) for line in events] == [("model_found", "a"), ("model_gone", "a")]


async def test_while_serve_cannot_be_asked_what_was_known_holds_and_one_line_says_so(events: Any) -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.trouble = RuntimeError("no controller")
    await registry.refresh()
    await registry.refresh()

    assert await ask(registry, "a") == Answered("from the replica")
    assert [line["reason"] for line in events if line["event"] == "discovery_failed"] == ["RuntimeError: no controller"]


@pytest.mark.parametrize("trouble", [RuntimeError("died"), asyncio.CancelledError()])
async def test_a_replica_that_fails_the_question_how_it_is_stops_no_search(trouble: BaseException) -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    cluster.replicas["a"] = Replica()
    cluster.replicas["a"].described = trouble
    await registry.refresh()
    assert registry.models["a"].state == "loading"

    cluster.replicas["a"].described = READY
    await registry.refresh()

    assert registry.models["a"].state == "ready"


async def test_a_new_deployment_is_asked_again_how_it_is() -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].described = {"state": "failed", "reason": "no weights"}
    cluster.known["a"] = application("a", deployed_at=2.0)
    await registry.refresh()

    assert (registry.models["a"].state, registry.models["a"].reason) == ("failed", "no weights")


async def test_a_model_whose_replica_runs_a_server_is_asked_each_time_how_it_is() -> None:
    cluster = FakeCluster(a=application("a", offer=SERVER))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    before = registry.models["a"].state
    cluster.replicas["a"].described = {"state": "loading", "reason": "its server is started again"}
    await registry.refresh()

    assert before == "ready"
    assert (registry.models["a"].state, registry.models["a"].reason) == ("loading", "its server is started again")
    assert registry.readiness_of(Candidate(Tier.PRIMARY, "a")) is Readiness.SOON


async def test_a_model_is_ready_while_one_of_its_replicas_has_its_server() -> None:
    loading = {"state": "loading", "reason": "its server is started again"}
    cluster = FakeCluster(a=application("a", offer=SERVER, running=2))
    cluster.replicas["a"] = replica = Replica()
    registry = Registry(cluster, Replica())
    replica.described, replica.all_described = loading, [loading, READY]
    await registry.refresh()
    of_one = registry.models["a"].state
    replica.all_described = [loading, loading]
    await registry.refresh()
    of_none = registry.models["a"].state

    assert (of_one, of_none) == ("ready", "loading")


async def test_a_replica_that_is_not_ready_says_so_of_itself_where_there_are_others() -> None:
    cluster = FakeCluster(a=application("a", offer=SERVER, running=2))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].outcome = Refused("not ready: its server is started again", soon=True)

    await ask(registry, "a")

    assert registry.readiness_of(Candidate(Tier.PRIMARY, "a")) is Readiness.NOW


async def test_a_model_that_loads_is_told_in_its_replicas_own_words_instead_of_serves() -> None:
    cluster = FakeCluster()
    registry = Registry(cluster, Replica())
    guess = "it has taken more than 30s to initialize"
    cluster.known["a"] = application("a", running=0, starting=1, status="DEPLOYING", message=guess)
    await registry.refresh()
    before = registry.models["a"].reason
    cluster.replicas["a"].told_loading = {
        "state": "loading",
        "reason": "loading its weights, 40 s so far",
        "last_line": "5 %",
    }
    cluster.known["a"] = replace(cluster.known["a"], loading=("actor",))
    await registry.refresh()
    told = registry.models["a"].to_json()

    assert before == guess
    assert (told["state"], told["reason"], told["last_line"]) == ("loading", "loading its weights, 40 s so far", "5 %")
    assert await ask(registry, "a") == Refused("not ready: loading its weights, 40 s so far", soon=True)


async def test_a_replica_that_says_it_is_not_ready_is_waited_for_from_that_moment_on() -> None:
    cluster = FakeCluster(a=application("a"))
    registry = Registry(cluster, Replica())
    await registry.refresh()
    cluster.replicas["a"].outcome = Refused("not ready: its server is started again", soon=True)
    before = registry.readiness_of(Candidate(Tier.PRIMARY, "a"))
    await ask(registry, "a")

    assert before is Readiness.NOW
    assert registry.readiness_of(Candidate(Tier.PRIMARY, "a")) is Readiness.SOON
    assert registry.models["a"].reason == "its server is started again"
    await registry.refresh()
    assert registry.readiness_of(Candidate(Tier.PRIMARY, "a")) is Readiness.NOW
