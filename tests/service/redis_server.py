"""A real Redis, in a process of its own: Debian's `redis-server`."""

import subprocess
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError

from tests.service.service import eventually, free_port


class RedisServer:
    """A Redis that can be stopped, and started again where it was."""

    def __init__(self, folder: Path) -> None:
        """Start it on a free port. It keeps nothing on a disk, so that one which is started again is empty."""
        self._folder, self.port = folder, free_port()
        self.start()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--loglevel",
            "warning",
        ]
        self._process = subprocess.Popen(command, cwd=self._folder)  # noqa: S603 - our own command
        with Redis.from_url(self.url) as client:
            eventually(lambda: _answers(client), 20)

    def names(self) -> list[str]:
        """The names of all that it keeps."""
        with Redis.from_url(self.url, decode_responses=True) as client:
            return sorted(client.scan_iter())

    def stop(self) -> None:
        """End it; after that it may be started again."""
        self._process.terminate()
        self._process.wait(20)


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except NoConnectionError:
        return False
