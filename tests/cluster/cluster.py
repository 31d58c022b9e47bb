"""Ray and the service of `configs/cluster.yaml` on the hosts, with small models in place of large ones.

Host 1 is the head, without CPUs, so that no replica is there; the others have two each. It is deployed from outside, as
from a laptop: with the dashboard's address and the token.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deployments.ray_serve.front import BINARY_VARIABLE, FRONT_COMMAND
from tests.cluster.hosts import IMAGE, OWN, ROOT, Host, hosts
from tests.service.service import BIN, eventually, unmeasured

CONFIG, VARIABLES = ROOT / "configs/cluster.yaml", ROOT / "configs/ray.env"
SPECS = "tests/cluster/configs"
OBJECT_STORE, REDIS_PORT = "100000000", 6390
START_S = 240.0
DRAIN_S = 120
"""So long a host that is to leave waits for what is under way on it, as the chart's `drainSeconds`."""
STORE = os.environ.get("NEVERBLANK_CLUSTER_STORE", "rocksdb")
"""Where the head keeps what the cluster is: `rocksdb`, or `redis`, which then runs outside of all hosts."""
SERVING = ("ray::ServeReplica", "haproxy.cfg", "gcs_server")
"""What serves on a host. Three real hosts have cores enough for a replica that starts beside it."""


def variables() -> dict[str, str]:
    """What `configs/ray.env` sets."""
    lines = (line.partition("#")[0].strip() for line in VARIABLES.read_text().splitlines())
    return {name: value for name, _, value in (line.partition("=") for line in lines if line)}


class Cluster:
    """The service on hosts.

    Attributes:
        hosts: the first one is the head.
        config: the Serve config, which a test may change and deploy again.
    """

    def __init__(self, made: Sequence[Host], folder: Path) -> None:
        """Use the hosts `made`; files go to `folder`."""
        self.hosts = made
        self.folder = folder
        self._token = secrets.token_hex(32)
        self.config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
        main, model, *_ = self.config["applications"]
        main |= {"import_path": "tests.cluster.models:build"}
        main["args"] |= {"backup": f"{SPECS}/backup.yaml", "routers": 2}
        main["deployments"][0]["user_config"] |= {"default_model": "steady"}
        model |= {"name": "steady", "args": {"spec": f"{SPECS}/steady.yaml"}}
        self.config["applications"] = [main, model]

    @property
    def head(self) -> Host:
        """The head."""
        return self.hosts[0]

    @property
    def workers(self) -> Sequence[Host]:
        """The hosts with replicas."""
        return self.hosts[1:]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a host's processes."""
        return {
            **variables(),
            "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": f"{OWN}/home",
            "TMPDIR": f"{OWN}/tmp",  # noqa: S108 - of the host's own
            "LANG": "C.UTF-8",
            "PYTHONPATH": IMAGE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "NEVERBLANK_ROOT": IMAGE,
            "NEVERBLANK_CACHE": f"{OWN}/cache",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_S),
            BINARY_VARIABLE: str(Path(sys.prefix) / "bin" / FRONT_COMMAND),
        }

    def start(self) -> None:
        """Start Ray on every host, and the service."""
        self.start_head()
        for host in self.workers:
            self.join(host)
        self.deploy()
        self.wait_whole()

    def start_head(self) -> None:
        """Start Ray's head."""
        head = self.head
        more = ["--head", "--port=6379", "--num-cpus=0", f"--temp-dir={OWN}/ray", f"--dashboard-host={head.address}"]
        # What the cluster is, is kept where it survives the head, which goes on by it when it is started again.
        (kept := head.file(f"{OWN}/gcs")).mkdir(exist_ok=True)
        storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": f"{OWN}/{kept.name}"}
        if STORE == "redis":
            storage = {"RAY_REDIS_ADDRESS": f"{head.net}.254:{REDIS_PORT}"}
        head.start(*_ray(head, *more), env=self.environment | storage)
        head.revived()

    def join(self, host: Host) -> None:
        """Start Ray on a host, as a node of the cluster."""
        command = _ray(host, f"--address={self.head.address}:6379", "--num-cpus=2", "--block")
        host.launch(*command, env=self.environment)
        host.revived()

    def leave(self, host: Host, within_s: float = DRAIN_S + 30) -> float:
        """Have a host leave as it should: SIGTERM, and what is under way on it ends first; the seconds that took."""
        started = time.monotonic()
        for process in (leaving := host.processes("--block")):
            process.terminate()
        psutil.wait_procs(leaving, timeout=within_s)
        eventually(lambda: not host.processes("raylet"), within_s)
        return time.monotonic() - started

    def deploy(self, wait_s: float = START_S) -> list[dict[str, Any]]:
        """Run `neverblank deploy` from outside; what it says of each application.

        Raises:
            RuntimeError: it failed.
        """
        file = self.folder / "cluster.yaml"
        file.write_text(yaml.safe_dump(self.config))
        command = [str(BIN / "neverblank"), "deploy", str(file), "--json", "--wait", str(wait_s)]
        command += ["--address", f"http://{self.head.address}:8265", "--url", f"http://{self.workers[-1].address}:8000"]
        outside = unmeasured() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token}
        outside |= {"NEVERBLANK_ROOT": str(ROOT), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(  # noqa: S603 - our own program
            command, cwd=ROOT, env=outside, capture_output=True, text=True, timeout=wait_s + 60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"neverblank deploy: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told

    def details(self) -> Mapping[str, Any]:
        """What Serve says of itself."""
        headers = {"Authorization": f"Bearer {self._token}"}
        address = f"http://{self.head.address}:8265/api/serve/applications/"
        told: Mapping[str, Any] = httpx.get(address, headers=headers, timeout=5.0).raise_for_status().json()
        return told

    def _running(self, application: str, deployment: str) -> list[Mapping[str, Any]]:
        found = self.details()["applications"].get(application, {}).get("deployments", {}).get(deployment, {})
        return [one for one in found.get("replicas", ()) if one["state"] == "RUNNING"]

    def where(self, application: str, deployment: str) -> list[str]:
        """The addresses of the hosts on which the running replicas of a deployment are, sorted."""
        return sorted(one["node_ip"] for one in self._running(application, deployment))

    def actors(self, application: str, deployment: str) -> dict[str, str]:
        """The actor of a deployment's running replica on each host that has one."""
        return {one["node_ip"]: one["actor_id"] for one in self._running(application, deployment)}

    def host_at(self, address: str) -> Host:
        """The host with an address."""
        return next(host for host in self.hosts if host.address == address)

    def answers(self, host: Host) -> bool:
        """Whether the model answers through a host."""
        body = {"text": "Hello", "timeout": 5}
        answer = httpx.post(f"http://{host.address}:8000/v1/infer/steady", json=body, timeout=6.0)
        return bool(answer.status_code == 200 and answer.json().get("served_by") == "primary")

    def wait_whole(self, within_s: float = START_S) -> float:
        """Wait until every replica runs and the model answers through every host; the seconds that took."""
        started = time.monotonic()

        def whole() -> bool:
            for application, deployment in (("neverblank", "Router"), ("neverblank", "Backup"), ("steady", "Model")):
                if len(self.where(application, deployment)) < 2:
                    return False
            return all(self.answers(host) for host in self.hosts for _ in range(2))

        eventually(whole, within_s, every_s=0.5)
        took = time.monotonic() - started
        for host in self.hosts:
            host.prefer(*SERVING)
        return took


def _ray(host: Host, *more: str) -> list[str]:
    command = ["ray", "start", *more, f"--node-ip-address={host.address}", f"--object-store-memory={OBJECT_STORE}"]
    return [*command, "--disable-usage-stats"]


@contextlib.contextmanager
def _redis(net: str) -> Iterator[None]:
    """A Redis outside of all hosts, which has every write on its disk before it counts."""
    command = ["redis-server", "--port", str(REDIS_PORT), "--bind", f"{net}.254", "--protected-mode", "no"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def running(count: int, folder: Path) -> Iterator[Cluster]:
    """The service on `count` hosts; everything is taken down at the end."""
    with hosts(count) as made, _redis(made[0].net) if STORE == "redis" else contextlib.nullcontext():
        cluster = Cluster(made, folder)
        cluster.start()
        yield cluster
