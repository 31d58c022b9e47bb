"""The console in a browser, before a whole router with two remote models; and where its pictures go."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Page, async_playwright, expect

from deployments.http.asgi import build_asgi
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import OWN, FakeCluster, Replica, application
from tests.upstream.faulty import FaultyUpstream

CHROMIUM = shutil.which("chromium") or "chromium is not there: apt-get install chromium"
REFUSED = re.compile(r"the server responded with a status of 40[13]")
"""What a browser calls an error where the service asks for another key."""

SIZE = 960, 600
"""Of a picture, in pixels."""

expect.set_options(timeout=15_000)

Picture = Callable[[str], Awaitable[Path]]
"""Takes a picture of the page under a name, and returns its file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pictures", default="", help="the folder that pictures of the console go into: `make screenshots`"
    )


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(**{OWN: application(OWN)})


@asynccontextmanager
async def at_work(faulty: FaultyUpstream, cluster: FakeCluster, **more: Any) -> AsyncIterator[Router]:
    """A router at work, with a backup and two healthy remote models: `first`, and `second` as its fallback."""
    remote = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "healthy"}
    policy = {
        "remotes": {"first": {**remote, "fallbacks": ["second"]}, "second": remote},
        "retries": {"max": 0},
        "drills": {"enabled": True},
        **more,
    }
    backup: Any = Replica()
    router = Router(cluster, backup, "backup", PolicySettings().with_overrides(policy, {}))
    cluster.routers = {cluster.own_replica: router}
    working = asyncio.create_task(router.run())
    yield router
    working.cancel()
    await asyncio.wait({working})


@pytest.fixture
async def router(faulty: FaultyUpstream, cluster: FakeCluster) -> AsyncIterator[Router]:
    async with at_work(faulty, cluster) as router:
        yield router


@pytest.fixture
async def page(router: Router) -> AsyncIterator[Page]:
    """The console of that router; an error in the page, or anything that its policy forbids, fails the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(build_asgi(router), lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    errors: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        yield page
        await browser.close()
    server.should_exit = True
    await serving
    assert [each for each in errors if not REFUSED.search(each)] == []


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest, tmp_path: Path) -> Picture:
    folder = Path(request.config.getoption("--pictures", default="") or tmp_path)

    async def take(name: str) -> Path:
        await page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
        file = folder / f"{name}.png"
        await page.screenshot(path=file, full_page=True, animations="disabled")
        return file

    return take
