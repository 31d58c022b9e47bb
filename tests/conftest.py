"""What all tests share; nothing here imports Ray."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from deployments.observability.logger import logger
from tests.redis_server import RedisServer
from tests.upstream.faulty import FaultyUpstream

# Two slow cores are no reason for a property to fail, and a failure is the same one on every run.
settings.register_profile("neverblank", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("neverblank")


class _Events(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """The events the service has logged so far, as the JSON objects they are."""
    logger()  # sets the logger up once, before it has a handler of ours
    written, handler = logging.getLogger("neverblank"), _Events()
    written.addHandler(handler)
    yield handler.lines
    written.removeHandler(handler)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis of the test's own, empty."""
    running = RedisServer(tmp_path)
    yield running
    running.stop()


@pytest.fixture
async def faulty() -> AsyncIterator[FaultyUpstream]:
    """A faulty upstream of the test's own, on its loop and the real clock."""
    upstream = FaultyUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()
