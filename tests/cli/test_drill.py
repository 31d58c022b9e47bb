"""`neverblank drill`: rows of the contract, brought about in a real router over HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from deployments.cli.drills import drills
from deployments.http.asgi import build_asgi
from deployments.router.router import Router
from tests.architecture.test_documents import COLUMNS, CONTRACT, rows
from tests.cli.serving import Done, neverblank
from tests.router.test_drills import two_models
from tests.upstream.faulty import FaultyUpstream


@asynccontextmanager
async def served(router: Router) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(build_asgi(router), lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def drilled(router: Router, capsys: Any, monkeypatch: Any) -> tuple[Done, list[dict[str, Any]]]:
    async with served(router) as url:
        words = ("drill", "--url", url, "--model", "first", "--timeout", "1.5", "--json")
        done = await asyncio.to_thread(neverblank, capsys, monkeypatch, *words)
    assert done.out, done.err
    return done, json.loads(done.out)


async def test_every_promise_that_a_drill_tries_is_kept_by_a_real_router(
    faulty: FaultyUpstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_models(faulty) as router:
        done, seen = await drilled(router, capsys, monkeypatch)

    assert [row for row in seen if not row["kept"]] == []
    assert (done.code, len(seen)) == (0, len(drills()))


async def test_a_service_that_allows_no_drills_breaks_no_promise_and_the_command_says_what_it_needs(
    faulty: FaultyUpstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_models(faulty, enabled=False) as router, served(router) as url:
        done = await asyncio.to_thread(neverblank, capsys, monkeypatch, "drill", "--url", url)

    assert (done.code, done.out) == (1, "")
    assert "x-neverblank-fault is not allowed here" in done.err
    assert "drills: {enabled: true}" in done.err
    assert f"1 of {len(drills())}: it raises" in done.err


def test_each_drill_is_a_row_of_the_contract() -> None:
    known = {row.cells[0] for row in rows(CONTRACT, COLUMNS)}

    assert [each.row for each in drills() if each.row not in known] == []
