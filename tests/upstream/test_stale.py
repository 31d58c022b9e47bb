"""Connections that died idle in the pool are evidence of nothing."""

import asyncio

from deployments.policy.outcome import Answered, Failed
from tests.fakes import a_request, read_stream
from tests.upstream.calling import remote
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream


async def test_fourteen_connections_that_died_idle_cost_no_request_anything(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "closes-when-idle") as upstream:
        for _ in range(2):
            outcomes = await asyncio.gather(*(upstream.start(a_request(), 5.0) for _ in range(14)))
            assert [type(outcome) for outcome in outcomes] == [Answered] * 14

    assert faulty.counts["closes-when-idle"] == 28


async def test_a_stream_on_a_connection_that_died_idle_is_whole(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "closes-when-idle") as upstream:
        for _ in range(3):
            read = await read_stream(upstream, a_request())
            assert "".join(str(item) for item in read[:-1]) == TEXT


async def test_a_server_that_closes_the_fresh_connection_too_has_failed(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "dies-when-idle") as upstream:
        assert isinstance(await upstream.start(a_request(), 5.0), Answered)
        outcome = await upstream.start(a_request(), 5.0)

    assert isinstance(outcome, Failed)
    assert faulty.counts["dies-when-idle"] == 2, "the one after the first was sent once more, and not a second time"


async def test_a_first_connection_that_is_closed_is_no_stale_one(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "closes") as upstream:
        assert isinstance(await upstream.start(a_request(), 5.0), Failed)

    assert faulty.counts["closes"] == 1


async def test_a_response_that_had_begun_is_not_asked_for_again(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "cut-head-when-used-again") as upstream:
        assert isinstance(await upstream.start(a_request(), 5.0), Answered)
        assert isinstance(await upstream.start(a_request(), 5.0), Failed)

    assert faulty.counts["cut-head-when-used-again"] == 2
