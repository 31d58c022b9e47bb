"""A real service, started as a user would: `serve run` on a config, in a process and a Ray session of its own."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import psutil
import yaml

from deployments.cli.processes import stop_orphaned_haproxies
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.prefix) / "bin"
START_S = 420.0
T = TypeVar("T")


def eventually(what: Callable[[], T | Literal[False] | None], timeout_s: float = 60.0, every_s: float = 0.05) -> T:
    """Wait for `what` to be true and give its value; the one place where tests of real processes poll."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            value = what()
            if value:
                return value
            trouble = f"still {value!r}"
        except (httpx.HTTPError, KeyError, OSError) as error:
            trouble = repr(error)
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s} s: {trouble}")
        time.sleep(every_s)


def unmeasured() -> dict[str, str]:
    """This process's environment for one that starts Ray, without what has coverage measure whatever is started."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


class Upstream:
    """The fault-injecting upstream of tests/upstream, in a process of its own."""

    def __init__(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "tests.upstream.faulty", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


@dataclass(slots=True)
class Streamed:
    """A native stream as its reader got it.

    Attributes:
        headers: of the response.
        first_s: seconds until the first text.
        last_s: seconds until the last line.
        texts: the data of each `token` event.
        done: the data of each `done` event; there has to be one.
    """

    headers: dict[str, str]
    first_s: float
    last_s: float = 0.0
    texts: list[dict[str, Any]] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)
    _event: str = ""

    def read(self, line: str, now: float) -> None:
        """Take in one line of the stream."""
        self.last_s = now
        name, _, value = line.partition(": ")
        match name, self._event:
            case "event", _:
                self._event = value
            case "data", "token":
                assert not self.done, "a text behind the end"
                self.first_s = min(self.first_s, now)
                self.texts.append(json.loads(value))
            case "data", "done":
                self.first_s = min(self.first_s, now)  # an answer that is nothing but tool calls
                self.done.append(json.loads(value))

    @property
    def text(self) -> str:
        """All texts."""
        return "".join(text["text"] for text in self.texts)

    @property
    def answer(self) -> dict[str, Any]:
        """The one answer at the end, whose result is what was streamed."""
        (answer,) = self.done
        assert answer["result"] == self.text or answer.get("tool_calls")
        return answer


class Service:
    """A running service and ways to hurt it."""

    def __init__(self, config: Mapping[str, Any], folder: Path = ROOT) -> None:
        """Start it in `folder`: `config` is a Serve config, whose ports are replaced by free ones."""
        self.port = free_port()
        self._haproxy_ports = {
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        }
        # Short: Ray puts socket files below it, whose paths may not exceed 107 characters.
        self.session = Path(tempfile.mkdtemp(prefix="nb-", dir="/tmp"))
        self._log = (self.session / "serve.log").open("w+")
        path = self.session / "serve.yaml"
        path.write_text(yaml.safe_dump(self.with_ports(config)))
        environment = unmeasured() | {
            "RAY_TMPDIR": str(self.session),
            "RAY_DEDUP_LOGS": "0",
            "NEVERBLANK_ROOT": str(ROOT),
            "PYTHONPATH": str(ROOT),
        }
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [BIN / "serve", "run", path], cwd=folder, env=environment, stdout=self._log, stderr=self._log
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60.0)

    def with_ports(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` with the ports of this service."""
        text = yaml.safe_dump(dict(config))
        changed: dict[str, Any] = yaml.safe_load(text)
        changed["http_options"]["port"] = self.port
        for holder in (changed.get("controller_options", {}), *changed["applications"]):
            if environment := holder.get("runtime_env", {}).get("env_vars"):
                environment |= self._haproxy_ports
        return changed

    @property
    def address(self) -> str:
        """Ray's address of this service's cluster."""
        words = next(words for p in self.family() if (words := p.cmdline()) and Path(words[0]).name == "raylet")
        return next(word.partition("=")[2] for word in words if word.startswith("--gcs-address="))

    @property
    def log(self) -> str:
        """All that `serve run` has printed so far."""
        return (self.session / "serve.log").read_text()

    def ask(self, body: Any, model: str = "", **headers: str) -> tuple[dict[str, Any], float]:
        """POST `body`; the answer and the seconds it took."""
        started = time.monotonic()
        response = self.http.post(f"/v1/infer/{model}".rstrip("/"), json=body, headers=headers)
        seconds = time.monotonic() - started
        assert response.status_code == 200, response.text
        return response.json(), seconds

    def stream(self, body: Mapping[str, Any], model: str = "", headers: Mapping[str, str] | None = None) -> "Streamed":
        """POST `body` for a stream and read it to its end."""
        started = time.monotonic()
        path = f"/v1/infer/{model}".rstrip("/")
        with self.http.stream("POST", path, json={**body, "stream": True}, headers=headers) as response:
            assert response.status_code == 200, response.read()
            streamed = Streamed(dict(response.headers), first_s=math.inf)
            for line in response.iter_lines():
                streamed.read(line, time.monotonic() - started)
        return streamed

    def status(self) -> dict[str, Any]:
        """`GET /status`."""
        described: dict[str, Any] = self.http.get("/status").raise_for_status().json()
        return described

    def wait_ready(self, *models: str, backup: bool = True, within_s: float = START_S) -> None:
        """Wait until every router sees all of these as ready."""

        def all_ready() -> bool:
            assert self.process.poll() is None, f"`serve run` has ended; the log ends with: {self.log[-3000:]}"
            status = self.status()
            states = [status["models"].get(model, {}).get("state") for model in models]
            if backup:
                states.append(status["backup"]["state"])
            return all(state == "ready" for state in states) and not status["unheard"]

        try:
            eventually(all_ready, within_s, every_s=0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the log ends with: {self.log[-3000:]}") from error

    def family(self) -> list[psutil.Process]:
        """All processes it has started; none once it has gone."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def replica(self, name: str) -> psutil.Process:
        """The process of a replica, such as `neverblank:Backup`; waits for one to be there."""
        return eventually(lambda: self._find_replica(name))

    def engine(self, name: str) -> psutil.Process:
        """The process that generates for a replica: one of its own, or the replica's."""
        replica = self.replica(name)
        return next(iter(replica.children()), replica)

    def _find_replica(self, name: str) -> psutil.Process | None:
        return next((p for p in self.family() if _title(p).startswith(f"ray::ServeReplica:{name}")), None)

    def stop(self) -> None:
        """Ctrl-C, and no process left behind."""
        self.http.close()
        family = self.family()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            _, alive = psutil.wait_procs(family, timeout=10)
            for process in alive:
                process.kill()
            stop_orphaned_haproxies()
            self._log.close()
            shutil.rmtree(self.session, ignore_errors=True)
