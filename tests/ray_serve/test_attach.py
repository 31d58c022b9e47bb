"""The service is found where one runs, and started where none does."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.ray_serve import attach
from deployments.ray_serve.names import ADDRESS_VARIABLE, APPLICATION, ROUTER_DEPLOYMENT


def state(status: str, message: str = "", **deployments: str) -> SimpleNamespace:
    """What Serve says of one application, and of its deployments."""
    told = {name: SimpleNamespace(status=each) for name, each in deployments.items()}
    return SimpleNamespace(status=status, message=message, deployments=told)


class FakeRay:
    """Ray and Serve of one process.

    Attributes:
        clusters: that run on this machine.
        connected: this process is connected to a cluster.
        states: what Serve says of our application, one after the other, the last one again and again; `None`: it has
            none.
        done: what was called.
    """

    def __init__(self, *states: SimpleNamespace | None, clusters: int = 0, connected: bool = False) -> None:
        self.states: list[SimpleNamespace | None] = list(states) or [None]
        self.clusters, self.connected = clusters, connected
        self.done: list[str] = []
        self.started: list[Any] = []

    def is_initialized(self) -> bool:
        return self.connected

    def init(self, address: str = "", **_: Any) -> None:
        self.done.append(f"init {address}".strip())
        if address == "auto" and not self.clusters:
            raise ConnectionError("no cluster")
        self.connected = True

    def shutdown(self) -> None:
        self.done.append("shutdown")
        self.connected = False

    def status(self) -> SimpleNamespace:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return SimpleNamespace(applications={} if now is None else {APPLICATION: now})

    def start(self, **_: Any) -> None:
        self.done.append("start")

    def RunTarget(self, **target: Any) -> dict[str, Any]:  # noqa: N802 - Serve's name
        return target

    def run_many(self, targets: list[Any], **_: Any) -> None:
        self.started = targets

    def get_app_handle(self, name: str) -> str:
        return f"handle to {name}"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a fake in the place of Ray and Serve."""

    def install(fake: FakeRay) -> FakeRay:
        monkeypatch.setattr(attach, "ray", fake)
        monkeypatch.setattr(attach, "serve", fake)
        monkeypatch.setattr(attach, "_builder", lambda path: lambda args: (path, args))
        monkeypatch.setattr(attach, "_POLL_S", 0.0)
        return fake

    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    return install


async def test_a_process_that_is_connected_uses_the_service_of_its_cluster(use: Any) -> None:
    fake = use(FakeRay(state("RUNNING"), connected=True))

    assert await attach.attach_or_start("serve_config.yaml") == f"handle to {APPLICATION}"
    assert (fake.done, fake.started) == ([], [])


async def test_a_service_that_runs_on_this_machine_is_used(use: Any) -> None:
    fake = use(FakeRay(state("RUNNING"), clusters=1))

    await attach.attach_or_start("serve_config.yaml")

    assert (fake.done, fake.started) == (["init auto"], [])


async def test_where_no_cluster_runs_one_is_started_with_every_application_and_no_http_port(use: Any) -> None:
    fake = use(FakeRay(None, state("DEPLOYING"), state("RUNNING")))

    await attach.attach_or_start("serve_config.yaml")

    assert fake.done == ["init auto", "init", "start"]
    assert [target["name"] for target in fake.started] == [APPLICATION, "smollm2"]
    assert {target["route_prefix"] for target in fake.started} == {None}


async def test_a_cluster_without_the_service_is_left_alone(use: Any) -> None:
    fake = use(FakeRay(None, None, state("RUNNING"), clusters=1))

    await attach.attach_or_start("serve_config.yaml")

    assert fake.done == ["init auto", "shutdown", "init", "start"]


async def test_a_cluster_that_is_named_gets_the_service(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, "ray://there")
    fake = use(FakeRay(None, state("RUNNING"), clusters=1))

    await attach.attach_or_start("serve_config.yaml")

    assert fake.done == ["init auto", "start"]


async def test_a_service_whose_router_cannot_start_is_an_error_that_says_why(use: Any) -> None:
    use(FakeRay(None, state("DEPLOY_FAILED", "no such file", **{ROUTER_DEPLOYMENT: "DEPLOY_FAILED"})))

    with pytest.raises(RuntimeError, match="no such file"):
        await attach.attach_or_start("serve_config.yaml")


@pytest.mark.looptime
async def test_a_service_that_does_not_start_is_waited_for_in_bounds_and_holds_up_nobody(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeRay(None, state("DEPLOYING", "no node has room")))
    monkeypatch.setattr(attach, "_POLL_S", 1.0)
    starting = asyncio.create_task(attach.attach_or_start("serve_config.yaml"))

    await asyncio.sleep(attach._START_S / 2)
    assert not starting.done()
    with pytest.raises(RuntimeError, match="within 1800 s: no node has room"):
        await starting


async def test_a_service_without_its_backup_is_there_all_the_same(use: Any) -> None:
    failed = state("DEPLOY_FAILED", "the backup has no weights", **{ROUTER_DEPLOYMENT: "HEALTHY"})
    use(FakeRay(None, failed))

    assert await attach.attach_or_start("serve_config.yaml") == f"handle to {APPLICATION}"


def test_the_builder_of_an_application_is_found_by_its_path() -> None:
    assert attach._builder("deployments.app:build_model").__name__ == "build_model"
