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
VERSIONS = (f"{SPECS}/steady.yaml", f"{SPECS}/steady-next.yaml")
"""The versions of the model, of which an update takes the other one."""
OBJECT_STORE, REDIS_PORT = "100000000", 6390
START_S = 240.0
DRAIN_S = 900
"""So long, at most, a host that is to leave waits for what is under way on it, as the chart's `drainSeconds`. With less
than a router may take to drain, Serve would stop its routers before there are others; what it has beyond that, replicas
wait for room elsewhere, of which there is none on two hosts with one replica each."""
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
        replicas: how many of each deployment there are to be.
    """

    def __init__(self, made: Sequence[Host], folder: Path) -> None:
        """Use the hosts `made`; files go to `folder`."""
        self.hosts = made
        self.folder = folder
        self._token = secrets.token_hex(32)
        self.config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
        main, model, *_ = self.config["applications"]
        main |= {"import_path": "tests.cluster.models:build"}
        main["args"] |= {"backup": f"{SPECS}/backup.yaml"}
        main["deployments"][0]["user_config"] |= {"default_model": "steady"}
        model |= {"name": "steady", "args": {"spec": VERSIONS[0]}}
        self.config["applications"] = [main, model]
        self.replicas = {"Router": 2, "Backup": 2, "Model": 2}
        if len(made) == 1:
            self.let_routers_share()
            self.scale(Backup=1, Model=1)

    @property
    def head(self) -> Host:
        """The head."""
        return self.hosts[0]

    @property
    def workers(self) -> Sequence[Host]:
        """The hosts with replicas; one that is alone has them, too."""
        return self.hosts[1:] or self.hosts

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

    def scale(self, **replicas: int) -> None:
        """Have the next `deploy` run so many replicas: `Router`, `Backup`, `Model`."""
        main, model = self.config["applications"][:2]
        for name, count in replicas.items():
            application = model if name == "Model" else main
            kept = [one for one in application.get("deployments", ()) if one["name"] != name]
            found = next((one for one in application.get("deployments", ()) if one["name"] == name), {"name": name})
            application["deployments"] = [*kept, found | {"num_replicas": count}]
            self.replicas[name] = count

    def change_model(self) -> None:
        """Have the next `deploy` replace the model by its other version."""
        args = self.config["applications"][1]["args"]
        args["spec"] = next(version for version in VERSIONS if version != args["spec"])

    def let_routers_share(self) -> None:
        """Have the next `deploy` let several routers be on a host."""
        self.config["applications"][0]["args"].pop("routers_per_node")

    def start(self) -> None:
        """Start Ray on every host, and the service."""
        self.start_head()
        for host in self.hosts[1:]:
            self.join(host)
        self.deploy()
        self.wait_whole()

    def start_head(self) -> None:
        """Start Ray's head."""
        head = self.head
        cpus = 0 if len(self.hosts) > 1 else 2
        more = [
            "--head",
            "--port=6379",
            f"--num-cpus={cpus}",
            f"--temp-dir={OWN}/ray",
            f"--dashboard-host={head.address}",
        ]
        # What the cluster is, is kept where it survives the head, which goes on by it when it is started again.
        (kept := head.file(f"{OWN}/gcs")).mkdir(exist_ok=True)
        storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": f"{OWN}/{kept.name}"}
        if STORE == "redis":
            storage = {"RAY_REDIS_ADDRESS": f"{head.net}.254:{REDIS_PORT}"}
        head.start(*_ray(head, *more), env=self.environment | storage)
        head.revived()

    def join(self, host: Host) -> None:
        """Start Ray on a host, as a node; again when it has ended, as one does that Ray has taken for dead."""
        command = _ray(host, f"--address={self.head.address}:6379", "--num-cpus=2", "--block")
        host.supervise(*command, env=self.environment)
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
        command = ["neverblank", "deploy", str(self.file()), "--json", "--wait", str(wait_s)]
        command += ["--address", self.dashboard, "--url", f"http://{self.workers[-1].address}:8000"]
        done = self.outside(*command, timeout_s=wait_s + 60)
        if done.returncode:
            raise RuntimeError(f"neverblank deploy: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told

    @property
    def dashboard(self) -> str:
        """The address of Ray's dashboard, which takes what is to be deployed."""
        return f"http://{self.head.address}:8265"

    def file(self) -> Path:
        """The Serve config as it is now, in a file."""
        file = self.folder / "cluster.yaml"
        file.write_text(yaml.safe_dump(self.config))
        return file

    def outside(
        self, command: str, *more: str, token: str | None = None, timeout_s: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment outside of the cluster, with the cluster's token or another one."""
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token if token is None else token}
        environment = unmeasured() | own | {"NEVERBLANK_ROOT": str(ROOT), "PYTHONPATH": str(ROOT)}
        return subprocess.run(  # noqa: S603 - our own program
            [str(BIN / command), *more],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def details(self) -> Mapping[str, Any]:
        """What Serve says of itself."""
        headers = {"Authorization": f"Bearer {self._token}"}
        address = f"{self.dashboard}/api/serve/applications/"
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
        """Wait until every replica runs and the model answers through every host; the seconds that took.

        Raises:
            TimeoutError: that took longer than `within_s`; it says what was missing.
        """
        started, missing = time.monotonic(), ""

        def whole() -> bool:
            nonlocal missing
            for deployment, count in self.replicas.items():
                application = "steady" if deployment == "Model" else "neverblank"
                if len(found := self.where(application, deployment)) < count:
                    missing = f"{deployment} runs on {found}"
                    return False
            missing = f"does not answer: {[host.address for host in self.hosts if not self.answers(host)]}"
            return all(self.answers(host) for host in self.hosts for _ in range(2))

        try:
            eventually(whole, within_s, every_s=0.5)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {missing}") from None
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
