"""What a router says of its remote models before anybody has asked for them."""

import asyncio
import time
from typing import Any

import pytest

from deployments.ray_serve.cluster import DeployedApplication
from deployments.ray_serve.routers import Heard
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.fakes import answers, scripted
from tests.serving import FakeCluster, Replica, application


class NoModels:
    """A cluster without models of its own."""

    own_application = "neverblank"
    own_replica = "r1"
    service_id = "this-service"

    async def applications(self) -> dict[str, DeployedApplication]:
        return {}

    async def watch_replicas(self, policy: Any) -> None:
        await asyncio.Event().wait()

    async def routers_readiness(self) -> list[dict[str, bool]]:
        return []

    running_routers: frozenset[str] = frozenset()

    async def ask_routers(self, question: str, *arguments: Any) -> Heard:
        return Heard()

    async def exchange_counts(self, tables: list[Any]) -> list[list[Any]]:
        return [tables]

    async def is_exposed(self) -> bool:
        return False

    def replicas_of(self, application: DeployedApplication) -> Any:
        raise AssertionError(application.name)


def router(**remote: Any) -> Router:
    spec = {"base_url": "https://api.example.com/v1", "model": "x", **remote}
    policy = PolicySettings().with_overrides({"remotes": {"hosted": spec}}, {})
    backup: Any = scripted(answers())
    return Router(NoModels(), backup, "backup", policy)


def state(of: Router) -> str:
    return next(str(facts["state"]) for facts in of.describe_models()["data"] if facts["id"] == "hosted")


async def test_a_remote_model_that_is_declared_is_ready() -> None:
    ready = router()
    await ready._registry.refresh()

    assert (state(ready), ready.readiness()["primary"]) == ("ready", True)


async def test_a_remote_model_whose_key_is_missing_is_not_called_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    lacking = router(api_key_env="TEST_KEY")
    await lacking._registry.refresh()

    assert (state(lacking), lacking.readiness()["primary"]) == ("failed", False)
    assert "TEST_KEY" in lacking.describe()["models"]["hosted"]["reason"]


async def test_a_model_was_created_when_it_was_deployed_and_a_remote_one_with_the_routers() -> None:
    cluster = FakeCluster(
        neverblank=application("neverblank", deployed_at=200.5), own=application("own", deployed_at=300.5)
    )
    policy = PolicySettings().with_overrides({"remotes": {"far": {"base_url": "http://x/v1", "model": "x"}}}, {})
    backup: Any = Replica()
    listed = Router(cluster, backup, "backup", policy)
    await listed._registry.refresh()

    created = {facts["id"]: facts["created"] for facts in listed.describe_models()["data"]}

    assert created == {"backup": 200, "far": 200, "own": 300}


async def test_a_remote_model_that_serve_has_told_nothing_of_yet_was_created_with_its_router() -> None:
    policy = PolicySettings().with_overrides({"remotes": {"far": {"base_url": "http://x/v1", "model": "x"}}}, {})
    backup: Any = Replica()
    began = int(time.time())

    listed = Router(FakeCluster(), backup, "backup", policy).describe_models()["data"]

    assert all(began <= facts["created"] <= time.time() for facts in listed)
    assert "far" in {facts["id"] for facts in listed}
