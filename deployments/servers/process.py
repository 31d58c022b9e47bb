"""One process of a server, from its start to its end. `guard` stands between it and this process."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deployments.servers import guard
from deployments.servers.output import ServerOutput
from deployments.settings.files import root

_READ_S = 1.0
_END_S = guard.ENDING_S + 5.0


class ServerProcess:
    """A server that has been started.

    Attributes:
        output: what it writes.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
        name: str,
        secrets: Iterable[str] = (),
    ) -> None:
        """Start it, in the project's root and in a session of its own.

        Args:
            command: the program and its arguments.
            environment: all of its variables.
            logs: the folder for its output.
            name: the model's name.
            secrets: what no line of its output may show.
        """
        self._popen = subprocess.Popen(  # noqa: S603 - the operator's own command
            # Isolated, and without site-packages: what guards it is not touched by the server's environment.
            [sys.executable, "-I", "-S", str(guard.__file__), *command],
            env=dict(environment),
            cwd=root(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._popen.stdout is not None  # noqa: S101 - a pipe was asked for
        self.output = ServerOutput(self._popen.stdout, logs, name, secrets)  # type: ignore[arg-type]  # it is a pipe

    @property
    def pid(self) -> int:
        """The id of the process that stands for it: the leader of its session."""
        return self._popen.pid

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end, at most for `timeout_s` seconds; return its exit status, `None` where it still runs."""
        try:
            status = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.output.join(_READ_S)
        return status if status >= 0 else 128 - status

    def close(self) -> None:
        """End it and everything that it has started, and wait until that is done. A second call does nothing."""
        self.let_go()
        try:
            self._popen.wait(_END_S)
        except subprocess.TimeoutExpired:  # in a state that no signal ends, such as a call of a GPU's driver
            self._popen.kill()
        self.output.join(_READ_S)

    def let_go(self) -> None:
        """Have the guard end it, without waiting."""
        assert self._popen.stdin is not None  # noqa: S101 - a pipe was asked for
        self._popen.stdin.close()
