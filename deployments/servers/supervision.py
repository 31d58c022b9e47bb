"""Starts the server of a replica, watches it, and starts it again when it ends.

    it ends                             started again, after a pause that grows while it ends soon
    it ends as it starts                that start has failed; where it says that its port is taken, it gets another one
    not healthy in time                 that start has failed, and it is ended
    requests wait, nothing comes        it is probed; where it does not answer the probe, it is ended and started again
    its health check is not answered    the same, after the same time

The first start is the load of the model, and what it fails with is the reason of the load. Later starts are repeated
for as long as the replica lives. A replica whose server does not come back fails its health checks, and Serve replaces
it: after some starts that failed, or whose server ended soon, and where a start takes far longer than those before it.
How long it has been gone counts from the end of the last server that had lived.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from deployments.observability import log
from deployments.servers.comeback import Comeback
from deployments.servers.commands import build_command
from deployments.servers.environment import secrets_of, server_environment
from deployments.servers.probing import ReservedPort, answers_at_all, is_healthy
from deployments.servers.process import ServerProcess
from deployments.servers.watch import SilenceWatch
from deployments.settings.server_specs import ServerSpec

FOLDER = "servers"
"""The folder of the cache with the output of servers."""

RESTART_S = (0.0, 1.0, 5.0, 15.0, 60.0)
"""Seconds before each start after an end; the last pause repeats."""

LIVED_S = 300.0
"""A server that has lived for so long ended for a reason of its own: the pauses begin anew."""

LOST_AFTER = 3
"""Starts in a row that failed, or whose server ended soon, after which the replica's work counts as not advancing."""

_LONGER_THAN_USUAL = 2.0
"""A start that takes so many times as long as the longest one before counts as one that will come to nothing."""

_PORTS = 5
_LOOK_S = 0.5
_HEALTH_PERIOD_S = 5.0
_HEALTH_TIMEOUT_S = 5.0


class ServerStartError(Exception):
    """A server could not be started; the message has its own last words."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that is ready.

    Attributes:
        process: its process.
        port: where it listens.
    """

    process: ServerProcess
    port: ReservedPort


class ServerSupervisor:
    """Keeps the server of one replica running, in a thread of its own, until it is closed.

    Attributes:
        running: the server; `None` while there is none.
        starts: starts so far.
        silence: how long it has been silent towards those who wait for it.
        comeback: wakes the requests that wait for it.
    """

    def __init__(
        self,
        spec: ServerSpec,
        cache: Path,
        *,
        pauses: tuple[float, ...] = RESTART_S,
        reserve: Callable[[bool], ReservedPort] = lambda hold: ReservedPort.reserve(hold=hold),
    ) -> None:
        """Get ready to run the server of `spec`; `cache` is the cache's folder.

        Args:
            spec: the server.
            cache: the project's cache folder on this node.
            pauses: seconds before each start after an end; the last one repeats.
            reserve: finds a port, and holds it where it is told so.
        """
        self._spec = spec
        self._logs = cache / FOLDER
        self._pauses = pauses
        self._reserve = reserve
        self._closed = threading.Event()
        self._failures = 0
        self._gone_since = 0.0
        self._longest_start_s = 0.0
        self._process: ServerProcess | None = None
        self._is_starting = False
        self._since = time.monotonic()
        self._why = "its server is started"
        self.running: RunningServer | None = None
        self.starts = 0
        self.silence = SilenceWatch()
        self.comeback = Comeback()

    def start(self) -> None:
        """Start the server and wait until it is healthy.

        Raises:
            ServerStartError: it ended, or was not healthy in time.
        """
        started: Future[None] = Future()
        threading.Thread(target=self._supervise, args=(started,), name="server-watch", daemon=True).start()
        started.result()

    def close(self) -> None:
        """End the server, start no other, and wait until it has ended."""
        self.let_go()
        if (process := self._process) is not None:
            process.close()

    def let_go(self) -> None:
        """End the server and start no other, without waiting."""
        self._closed.set()
        if (process := self._process) is not None:
            process.let_go()

    @property
    def state(self) -> str:
        """Return in one line what is done while no server runs, and for how long."""
        return f"{self._why}, {time.monotonic() - self._since:.0f} s so far"

    @property
    def last_line(self) -> str:
        """The last line of a server that starts, for operators; one that has answered may have written what it read."""
        return self._process.output.last_line if self._process is not None and self._is_starting else ""

    @property
    def lost_s(self) -> float:
        """Return for how many seconds there has been no server that lives, where it does not come back; else 0."""
        if self.running is not None or not self._longest_start_s:
            return 0.0  # one that has never run is loading
        now = time.monotonic()
        usual_s = max(self._spec.stall_seconds, _LONGER_THAN_USUAL * self._longest_start_s)
        lost = self._failures >= LOST_AFTER or now - self._since >= usual_s
        return now - self._gone_since if lost else 0.0

    @property
    def log_file(self) -> str:
        """The file with its output; empty where there is none."""
        path = self._process.output.path if self._process is not None else None
        return str(path or "")

    def _supervise(self, started: "Future[None]") -> None:
        try:
            running = self._start()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            started.set_exception(error)
            return
        started.set_result(None)
        while not self._closed.is_set():
            began = time.monotonic()
            why = self._watch(running)
            self._gone(time.monotonic() - began, why)
            running.process.close()
            running.port.release()
            if self._closed.is_set():
                return
            log.server_ended(self._spec.id, why, self.log_file)
            again = self._restart()
            if again is None:
                return
            running = again

    def _gone(self, lived_s: float, why: str) -> None:
        """Note that there is no server, which had lived for `lived_s`, and why."""
        self._since = time.monotonic()
        self._why = f"its server has ended ({why}) and is started again"
        if lived_s >= LIVED_S or not self._failures:
            self._gone_since = self._since
        self._failures = 0 if lived_s >= LIVED_S else self._failures + 1
        self.running = None

    def _restart(self) -> RunningServer | None:
        """Start it until it runs, pausing longer with each failure in a row; `None` once it is closed."""
        while not self._closed.wait(pause_s(self._failures, self._pauses)):
            try:
                return self._start()
            except ServerStartError as error:
                self._failures += 1
                if not self._closed.is_set():
                    log.server_ended(self._spec.id, str(error), self.log_file)
            except Exception as error:  # noqa: BLE001 - whatever a start raises, it is tried again
                self._failures += 1
                log.internal_error("server", self._spec.id, error)
        return None

    def _start(self) -> RunningServer:
        """Start a server, on another port where one is taken, and wait until it is healthy."""
        began = time.monotonic()
        until = began + self._spec.load_timeout_seconds
        for attempt in range(_PORTS):
            port = self._reserve(attempt == 0)
            try:
                running = self._start_on(port, until)
            except BaseException:
                port.release()
                raise
            if running is not None:
                self._longest_start_s = max(self._longest_start_s, time.monotonic() - began)
                self.silence.sign()
                self.running = running
                self.comeback.tell()
                return running
            port.release()
        raise ServerStartError(f"{_PORTS} ports in a row were taken")

    def _start_on(self, port: ReservedPort, until: float) -> RunningServer | None:
        """Start a server on `port`; `None` where it says that the port is taken."""
        spec, environment = self._spec, server_environment(self._spec)
        command = build_command(spec, port.number, environment)
        self.starts += 1
        process = self._process = ServerProcess(
            command, environment, self._logs, spec.id, secrets_of(spec, environment, command)
        )
        self._is_starting = True
        log.server_starting(spec.id, spec.engine, process.pid, self.log_file)
        try:
            if not self._await_health(process, port.number, until):
                return None
        except BaseException:
            process.close()
            raise
        finally:
            self._is_starting = False
        return RunningServer(process, port)

    def _await_health(self, process: ServerProcess, port: int, until: float) -> bool:
        """Wait until the server is healthy; false where it has ended because its port is taken.

        Raises:
            ServerStartError: it has ended, or is not healthy by `until`.
        """
        while True:
            status = process.wait(_LOOK_S)
            words = process.output.last_words() or "it wrote nothing"
            if self._closed.is_set():
                raise ServerStartError("its replica ends")
            if status is not None:
                if process.output.port_taken:
                    return False
                raise ServerStartError(f"its server ended as it started, with {_told(status)}: {words}")
            if time.monotonic() >= until:
                raise ServerStartError(
                    f"its server was not healthy after {self._spec.load_timeout_seconds:g} s: {words}"
                )
            if is_healthy(port, self._spec.health, _HEALTH_TIMEOUT_S):
                return True

    def _watch(self, running: RunningServer) -> str:
        """Wait until the server has ended, or is to be ended; return why."""
        spec, port = self._spec, running.port.number
        healthy = checked = time.monotonic()
        while not self._closed.is_set():
            if (status := running.process.wait(_LOOK_S)) is not None:
                return _told(status)
            now, half_s = time.monotonic(), spec.stall_seconds / 2
            if self.silence.silent_s() >= half_s:
                if not answers_at_all(port, f"{spec.api}/chat/completions", spec.model_name, half_s):
                    return f"no sign of life in {spec.stall_seconds:g} s, though it was asked"
                self.silence.sign()
            if now - checked >= min(_HEALTH_PERIOD_S, half_s):
                checked = now
                if is_healthy(port, spec.health, min(_HEALTH_TIMEOUT_S, half_s)):
                    healthy = now
                elif now - healthy >= spec.stall_seconds:
                    return f"its health check was not answered for {spec.stall_seconds:g} s"
        return "its replica ends"


def pause_s(ends: int, pauses: tuple[float, ...] = RESTART_S) -> float:
    """Return the seconds before the next start after so many ends in a row."""
    return pauses[min(max(ends - 1, 0), len(pauses) - 1)]


def _told(status: int) -> str:
    return f"signal {status - 128}" if status > 128 else f"exit status {status}"  # noqa: PLR2004 - as in a shell
