"""The pool: remote models that are changed while requests are under way."""

import asyncio
from typing import Any

import pytest

from deployments.policy.outcome import Answered
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import UpstreamPool
from tests.fakes import a_request, begun_stream
from tests.upstream.calling import a_spec
from tests.upstream.faulty import FaultyUpstream


async def test_a_remote_model_that_has_not_changed_keeps_its_connections(faulty: FaultyUpstream) -> None:
    pool = UpstreamPool({"a": a_spec(faulty, "healthy")})
    before = pool.find("a")

    pool.update({"a": a_spec(faulty, "healthy"), "b": a_spec(faulty, "healthy")})

    assert pool.find("a") is before
    assert pool.describe().keys() == {"a", "b"}
    await pool.aclose()


async def test_a_stream_under_way_to_a_model_that_is_removed_comes_to_its_end(faulty: FaultyUpstream) -> None:
    pool = UpstreamPool({"a": a_spec(faulty, "healthy")})
    upstream = pool.find("a")
    assert upstream is not None
    begun = await begun_stream(upstream, a_request())

    pool.update({})
    await asyncio.sleep(0)

    assert pool.find("a") is None
    assert isinstance(await begun.read_to_end(), Answered)
    async with asyncio.timeout(5):
        while faulty.open:  # noqa: ASYNC110 - the other end of a socket sets no event
            await asyncio.sleep(0.01)


async def test_connections_that_cannot_be_closed_are_told_and_cost_the_others_nothing(
    faulty: FaultyUpstream, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def retire() -> None:
        raise OSError("stuck")

    pool = UpstreamPool({"a": a_spec(faulty, "healthy"), "b": a_spec(faulty, "healthy")})
    monkeypatch.setattr(pool.find("a"), "retire", retire)

    pool.update({"b": a_spec(faulty, "healthy")})
    await pool.aclose()

    assert [(line["event"], line["where"]) for line in events] == [("internal_error", "upstreams")]


async def test_an_attempt_that_falls_to_its_next_endpoint_behind_an_update_is_answered(faulty: FaultyUpstream) -> None:
    fails = asyncio.Event()
    fails.set()

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fails.wait()
        writer.close()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as broken:
        ports = {broken.sockets[0].getsockname()[1]: 1000, faulty.port: 1}
        places = [{"base_url": f"http://127.0.0.1:{port}/v1", "weight": weight} for port, weight in ports.items()]
        pool = UpstreamPool({"a": RemoteSpec.model_validate({"endpoints": places, "model": "healthy"})})
        upstream = pool.find("a")
        assert upstream is not None
        assert isinstance(await upstream.start(a_request(), 5.0), Answered)  # both have had connections
        fails.clear()
        asked = asyncio.create_task(upstream.start(a_request(), 5.0))
        await asyncio.sleep(0.05)

        pool.update({})
        await asyncio.sleep(0.05)
        fails.set()

        assert isinstance(await asked, Answered)
        assert faulty.counts == {"healthy": 2}
        await pool.aclose()
        async with asyncio.timeout(5):
            while faulty.open:  # noqa: ASYNC110 - the other end of a socket sets no event
                await asyncio.sleep(0.01)


async def test_a_changed_model_is_called_as_it_is_now(faulty: FaultyUpstream) -> None:
    pool = UpstreamPool({"a": a_spec(faulty, "status-500")})

    pool.update({"a": a_spec(faulty, "healthy")})

    upstream = pool.find("a")
    assert upstream is not None
    assert isinstance(await upstream.start(a_request(), 5.0), Answered)
    await pool.aclose()
