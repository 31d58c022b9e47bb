"""Which models there are, as the router learns it from Serve."""

import asyncio
from typing import Any

import pytest

from deployments.calls import Application
from deployments.directory import Directory
from deployments.policy.outcome import Answered, Outcome, Refused
from tests.fakes import a_request

OWN = "neverblank"
READY = {"state": "ready", "reason": ""}


class Replica:
    """Stands for all replicas of one deployment."""

    def __init__(self) -> None:
        self.described: Any = READY

    async def call(self, request: object, budget_s: float) -> Outcome:
        return Answered("from the replica")

    async def describe(self) -> dict[str, Any]:
        if isinstance(self.described, BaseException):
            raise self.described
        return dict(self.described)


class FakeCluster:
    """Serve, saying what a test puts into `known`."""

    def __init__(self, **known: Application) -> None:
        self.known = known
        self.trouble: Exception | None = None
        self.replicas: dict[str, Replica] = {}

    @property
    def own_application(self) -> str:
        return OWN

    async def applications(self) -> dict[str, Application]:
        if self.trouble:
            raise self.trouble
        return dict(self.known)

    def caller(self, name: str) -> Any:
        assert self.known[name].built, "Serve has no handle for what was not built"
        return self.replicas.setdefault(name, Replica())


def application(name: str, **changes: Any) -> Application:
    facts = {"status": "RUNNING", "message": "", "running": 1, "starting": 0, "deployed_at": 1.0} | changes
    return Application(name, **facts)


async def ask(directory: Directory, model: str) -> Outcome:
    return await directory.find(model).call(a_request(), 1.0)


async def test_a_model_with_a_running_replica_is_asked() -> None:
    directory = Directory(FakeCluster(a=application("a")), Replica())
    await directory.refresh()

    assert await ask(directory, "a") == Answered("from the replica")
    assert directory.models["a"].state == "ready"


async def test_a_model_nobody_serves_is_refused() -> None:
    assert await ask(Directory(FakeCluster(), Replica()), "a") == Refused("unknown model")


async def test_a_model_without_a_running_replica_is_refused_as_serve_would_let_the_call_wait() -> None:
    directory = Directory(FakeCluster(a=application("a", running=0, starting=1, status="DEPLOYING")), Replica())
    await directory.refresh()

    assert await ask(directory, "a") == Refused("not ready: no replica has started yet")
    assert directory.models["a"].state == "loading"


async def test_a_model_that_could_not_be_built_is_refused_with_the_reason_and_hides_no_other() -> None:
    broken = application("a", built=False, running=0, status="DEPLOY_FAILED", message="bad spec")
    directory = Directory(FakeCluster(a=broken, b=application("b")), Replica())
    await directory.refresh()

    outcome = await ask(directory, "a")

    assert isinstance(outcome, Refused)
    assert "bad spec" in outcome.reason
    assert directory.models["a"].state == "failed"
    assert await ask(directory, "b") == Answered("from the replica")


async def test_a_model_that_is_built_in_the_end_is_asked() -> None:
    cluster = FakeCluster(a=application("a", built=False, running=0, status="DEPLOY_FAILED"))
    directory = Directory(cluster, Replica())
    await directory.refresh()
    cluster.known["a"] = application("a", deployed_at=2.0)
    await directory.refresh()

    assert await ask(directory, "a") == Answered("from the replica")


async def test_a_model_that_is_taken_away_is_forgotten() -> None:
    cluster = FakeCluster(a=application("a"))
    directory = Directory(cluster, Replica())
    await directory.refresh()
    del cluster.known["a"]
    await directory.refresh()

    assert await ask(directory, "a") == Refused("unknown model")


async def test_while_serve_cannot_be_asked_what_was_known_holds_and_one_line_says_so(events: Any) -> None:
    cluster = FakeCluster(a=application("a"))
    directory = Directory(cluster, Replica())
    await directory.refresh()
    cluster.trouble = RuntimeError("no controller")
    await directory.refresh()
    await directory.refresh()

    assert await ask(directory, "a") == Answered("from the replica")
    assert [line["reason"] for line in events if line["event"] == "discovery_failed"] == ["RuntimeError: no controller"]


@pytest.mark.parametrize("trouble", [RuntimeError("died"), asyncio.CancelledError()])
async def test_a_replica_that_fails_the_question_how_it_is_stops_no_search(trouble: BaseException) -> None:
    cluster = FakeCluster(a=application("a"))
    directory = Directory(cluster, Replica())
    cluster.replicas["a"] = Replica()
    cluster.replicas["a"].described = trouble
    await directory.refresh()
    assert directory.models["a"].state == "loading"

    cluster.replicas["a"].described = READY
    await directory.refresh()

    assert directory.models["a"].state == "ready"


async def test_a_new_deployment_is_asked_again_how_it_is() -> None:
    cluster = FakeCluster(a=application("a"))
    directory = Directory(cluster, Replica())
    await directory.refresh()
    cluster.replicas["a"].described = {"state": "failed", "reason": "no weights"}
    cluster.known["a"] = application("a", deployed_at=2.0)
    await directory.refresh()

    assert (directory.models["a"].state, directory.models["a"].reason) == ("failed", "no weights")
