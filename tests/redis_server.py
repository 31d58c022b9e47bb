"""A real Redis: Debian's `redis-server`, in a process of its own. Where there is none, its tests are skipped."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.ports import free_port

START_S = 30.0
IS_THERE = shutil.which("redis-server") is not None
WANTED = "redis-server is not there: apt-get install redis-server"
needs_redis = pytest.mark.skipif(not IS_THERE, reason=WANTED)
"""On a test that wants a Redis, and has no other use for a `RedisServer`."""


class RedisServer:
    """A Redis that can be stopped, and started again where it was."""

    def __init__(self, folder: Path) -> None:
        """Start it on a free port. It keeps nothing on a disk: one that is started again is empty."""
        if not IS_THERE:
            pytest.skip(WANTED)
        self.port = free_port()
        self._folder = folder
        self.start()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen([*command, "--loglevel", "warning"], cwd=self._folder)  # noqa: S603 - our own
        end = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.02)  # another process

    def names(self) -> list[str]:
        """The names of all that it keeps."""
        with Redis.from_url(self.url, decode_responses=True) as client:
            return sorted(client.scan_iter())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(START_S)

    def _answers(self) -> bool:
        with Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False
