"""Calls remote models of the faulty upstream: what its tests share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deployments.policy.outcome import Outcome, StreamItem, StreamPart
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import Upstream
from tests.fakes import a_request, read_stream, read_whole
from tests.upstream.faulty import FaultyUpstream

WAIT_S = 20.0
"""Nothing is that slow; a test that waits for ever is to fail."""


def a_spec(faulty: FaultyUpstream, scenario: str, **more: Any) -> RemoteSpec:
    fields = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": scenario, **more}
    return RemoteSpec.model_validate(fields)


@asynccontextmanager
async def remote(faulty: FaultyUpstream, scenario: str, **more: Any) -> AsyncIterator[Upstream]:
    upstream = Upstream("remote", a_spec(faulty, scenario, **more))
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def call(faulty: FaultyUpstream, scenario: str, request: InferenceRequest | None = None, **more: Any) -> Outcome:
    async with remote(faulty, scenario, **more) as upstream, asyncio.timeout(WAIT_S):
        return await read_whole(upstream, request or a_request(), WAIT_S)


async def stream(
    faulty: FaultyUpstream, scenario: str, request: InferenceRequest | None = None, **more: Any
) -> tuple[str, StreamItem]:
    """The whole text, and the end."""
    async with remote(faulty, scenario, **more) as upstream, asyncio.timeout(WAIT_S):
        read = await read_stream(upstream, request or a_request(), WAIT_S)
    assert all(isinstance(item, StreamPart) for item in read[:-1]), "there is one end, and nothing behind it"
    return "".join(item for item in read[:-1] if isinstance(item, str)), read[-1]
