"""One faulty upstream for each test, on the test's own loop and the real clock."""

from collections.abc import AsyncIterator

import pytest

from tests.upstream.faulty import FaultyUpstream


@pytest.fixture
async def faulty() -> AsyncIterator[FaultyUpstream]:
    upstream = FaultyUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()
