"""Routers behind real ports, whose remote models may be one another."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from deployments.http.asgi import build_asgi
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.router.test_remotes import NoModels
from tests.router.test_take_over import Backup


class Service(NoModels):
    """The Serve instance of one service."""

    def __init__(self, name: str) -> None:
        self.service_id = name


class Counted(Router):
    """A router that notes how many requests it has had."""

    asked = 0

    def overloaded(self) -> bool:
        """Every request is asked about this first."""
        self.asked += 1
        return super().overloaded()


@asynccontextmanager
async def routers(*names: str, backup: Any = None) -> AsyncIterator[dict[str, tuple[Counted, str]]]:
    """A router for each name, with the address of its API; two with a common part before `/` are one service."""
    made: dict[str, tuple[Counted, str]] = {}
    behind: Any = backup or Backup()
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
    for name in names:
        router = Counted(Service(name.split("/", maxsplit=1)[0]), behind, "backup", PolicySettings())
        await router._registry.refresh()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        made[name] = (router, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        server = uvicorn.Server(uvicorn.Config(build_asgi(router), lifespan="off", log_config=None))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        running.append((server, task))
    try:
        yield made
    finally:
        for router, _ in made.values():
            await router._upstreams.aclose()
        for server, task in running:
            server.should_exit = True
            await task
