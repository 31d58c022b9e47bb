"""A controller of Serve's that does not answer costs a router one thread, and no request its time."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.ray_serve import cluster
from deployments.ray_serve.cluster import ServeCluster

OWN = "neverblank"


class Controller:
    """Stands in for Serve's search of its controller, which hangs until it is let go."""

    def __init__(self, actor_id: str = "c0ffee") -> None:
        self.searches: list[str] = []
        self.begun, self.let_go = threading.Event(), threading.Event()
        self._actor_id = bytes.fromhex(actor_id)
        self.get_serve_instance_details = SimpleNamespace(remote=self._details)

    def find(self) -> Any:
        self.searches.append(threading.current_thread().name)
        self.begun.set()
        assert self.let_go.wait(30.0)
        return SimpleNamespace(_controller=self)

    async def _details(self) -> dict[str, Any]:
        return {"applications": {}}


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    hung = Controller()
    monkeypatch.setattr(cluster, "_get_global_client", hung.find)
    yield hung
    hung.let_go.set()


async def look(serve: ServeCluster) -> None:
    """Ask Serve as discovery does, and give it up while the search goes on."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(serve.applications(), 0.01)


async def test_a_controller_that_hangs_keeps_one_thread_of_its_own_and_none_that_others_need(
    controller: Controller,
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    serve = ServeCluster(OWN, "r1")

    for _ in range(5):
        await look(serve)
    assert controller.begun.wait(30.0)
    assert controller.searches == ["find-controller_0"]
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10.0) == "free"


async def test_a_controller_that_comes_back_is_asked_again(controller: Controller) -> None:
    serve = ServeCluster(OWN, "r1")
    await look(serve)

    controller.let_go.set()

    assert await serve.applications() == {}
    assert await serve.applications() == {}


async def test_the_services_id_is_told_without_the_controller_and_shared_once_it_is_found(
    controller: Controller,
) -> None:
    one, other = ServeCluster(OWN, "r1"), ServeCluster(OWN, "r2")
    alone = {one.service_id, other.service_id}
    assert (len(alone), controller.searches) == (2, []), "nobody waits for the controller"

    controller.let_go.set()
    await asyncio.gather(one.applications(), other.applications())

    assert one.service_id == other.service_id
    assert one.service_id not in alone
    assert ServeCluster("another", "r1").service_id not in {one.service_id, *alone}
