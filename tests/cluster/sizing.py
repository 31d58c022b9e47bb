"""What each part of the service takes, by hosts, routers and models: `python -m tests.cluster.sizing 1 3 5`.

Memory is what a process has to itself (USS): what it shares with others of its host counts once, not here. Computing
is what the processes were given, in milliseconds a request or a second, so a machine that is busy with other things
says the same, if not quite: what is often interrupted computes a little longer.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.cluster import SPECS, Cluster, running
from tests.cluster.hosts import Host
from tests.cluster.load import Load, Traffic

KINDS = {
    "router": "ServeReplica:neverblank:Router",
    "backup": "ServeReplica:neverblank:Backup",
    "model": ":Model",
    "haproxy": "haproxy.cfg",
    "its manager": "HAProxyManager",
    "fallback proxy": "ProxyActor",
    "controller": "ServeController",
    "raylet": "raylet/raylet",
    "gcs": "gcs_server",
    "dashboard": "dashboard.py",
}
"""The kinds of processes, by a part of their command lines; the rest is Ray's agents and idle workers."""
IDLE_S, ASKED_S, PER_SECOND = 20.0, 25.0, 20.0
IDLE_MODELS, MORE_ON = 4, 3
"""Models that nobody asks, and the number of hosts on which routers and models are added."""


def kind_of(process: psutil.Process) -> str:
    """The kind of a process of a host."""
    line = " ".join(process.cmdline())
    return next((kind for kind, part in KINDS.items() if part in line), "other")


def processes(hosts: Sequence[Host]) -> list[tuple[str, psutil.Process]]:
    """All processes of the hosts, with their kinds."""
    found = []
    for process in (each for host in hosts for each in host.processes()):
        with suppress(psutil.NoSuchProcess):
            found.append((kind_of(process), process))
    return found


def memory(hosts: Sequence[Host]) -> dict[str, dict[str, float]]:
    """Of each kind: how many there are, and megabytes of each on average."""
    sizes = defaultdict[str, list[float]](list)
    for kind, process in processes(hosts):
        with suppress(psutil.NoSuchProcess):
            sizes[kind].append(process.memory_full_info().uss / 1e6)
    return {kind: {"count": len(found), "mb": round(sum(found) / len(found))} for kind, found in sorted(sizes.items())}


def computed(hosts: Sequence[Host]) -> Mapping[int, tuple[str, float]]:
    """Seconds that each process has computed."""
    found = {}
    for kind, process in processes(hosts):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = kind, times.user + times.system
    return found


def computing(hosts: Sequence[Host], seconds: float) -> dict[str, float]:
    """Milliseconds a second that each kind computes, over `seconds`."""
    before, began = computed(hosts), time.monotonic()
    time.sleep(seconds)
    passed, spent = time.monotonic() - began, defaultdict[str, float](float)
    for pid, (kind, after) in computed(hosts).items():
        spent[kind] += after - before.get(pid, (kind, after))[1]
    return {kind: round(1000 * total / passed, 1) for kind, total in sorted(spent.items())}


def measure(cluster: Cluster) -> dict[str, Any]:
    """Memory, and computing while nobody asks and for each request."""
    time.sleep(10)
    idle = computing(cluster.hosts, IDLE_S)
    with Load(cluster.hosts, Traffic(per_second=PER_SECOND)) as load:
        time.sleep(3)
        asked = computing(cluster.hosts, ASKED_S)
    tally = load.tally
    each = {kind: round((asked[kind] - idle.get(kind, 0.0)) / PER_SECOND, 2) for kind in asked}
    return {
        "memory": memory(cluster.hosts),
        "idle_ms_a_second": idle,
        "ms_a_request": each,
        "requests": tally.counts,
        "load": Path("/proc/loadavg").read_text().split()[0],
    }


def add_models(cluster: Cluster) -> None:
    """Deploy `IDLE_MODELS` more models, of one replica each, that nobody asks."""
    one = cluster.config["applications"][1]
    for number in range(1, IDLE_MODELS + 1):
        args = {"spec": f"{SPECS}/idle{number}.yaml"}
        more = {name: value for name, value in one.items() if name != "deployments"}
        cluster.config["applications"].append({**more, "name": f"idle{number}", "args": args})
    cluster.deploy()


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.sizing")
    parser.add_argument("hosts", type=int, nargs="+")
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    found: dict[str, Any] = {}

    def tell(name: str, cluster: Cluster) -> None:
        found[name] = measure(cluster)
        print(name, json.dumps(found[name]), flush=True)  # noqa: T201 - the figures asked for
        if asked.report:
            asked.report.write_text(json.dumps(found, indent=1) + "\n")

    for count in asked.hosts:
        with tempfile.TemporaryDirectory() as folder, running(count, Path(folder)) as cluster:
            tell(f"{count} hosts", cluster)
            if len(cluster.hosts) == MORE_ON:
                cluster.let_routers_share()
                cluster.scale(Router=4)
                cluster.deploy()
                tell(f"{count} hosts, 4 routers", cluster)
                add_models(cluster)
                tell(f"{count} hosts, 4 routers, {IDLE_MODELS} more models", cluster)


if __name__ == "__main__":
    main()
