"""What the whole chain costs: router to `python` echo model, against a bare Serve composition with its switches."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import psutil

from benchmarks import wrk
from benchmarks.report import Chart, Report, in_turn, median, ratio
from benchmarks.stage import config, cpu_s, serving
from tests.service.service import Service, eventually

CONNECTIONS = (1, 16, 64)
ROUNDS, SECONDS = 5, 3
BODY = {"text": "Hello"}
_REPLICAS = {"ours": ("neverblank:Router", "echo:Model"), "bare": ("bare:Ingress", "bare:Echo")}

Run = tuple[wrk.Load, float, float]
"""The load, and the microseconds of CPU that a request took in the router or ingress and in the model."""


def run() -> Report:
    """One router and one ingress replica: they share two cores with the model, the load and HAProxy."""
    echo = {"name": "echo", "args": {"spec": "configs/models/echo.yaml"}}
    bare = {"name": "bare", "route_prefix": "/bare", "import_path": "benchmarks.bare:build", "args": {}}
    with serving(config(echo, bare, build="tests.service.standin:build_instant"), "echo") as service:
        eventually(lambda: service.http.post("/bare/infer", json=BODY).raise_for_status())
        urls = {"ours": f"{service.http.base_url}/v1/infer/echo", "bare": f"{service.http.base_url}/bare/infer"}
        for url in urls.values():
            wrk.post(url, BODY, 16, 3)
        rows = [_row(service, urls, connections) for connections in CONNECTIONS]
    chart = Chart(("connections",), ("p50_ratio", "requests_ratio"), "ratio to the bare composition")
    return Report("router", "What the chain costs over a bare Serve composition", rows, chart)


def _row(service: Service, urls: dict[str, str], connections: int) -> dict[str, Any]:
    processes = {name: [service.replica(one) for one in replicas] for name, replicas in _REPLICAS.items()}
    runs = in_turn({name: partial(measure, url, connections, processes[name]) for name, url in urls.items()}, ROUNDS)
    ours, bare = ([load for load, _, _ in runs[name]] for name in ("ours", "bare"))
    row: dict[str, Any] = {"connections": connections}
    for name, loads in (("", ours), ("bare_", bare)):
        row[f"{name}p50_ms"] = median(load.p50_ms for load in loads)
        row[f"{name}p99_ms"] = median(load.p99_ms for load in loads)
        row[f"{name}requests_s"] = median((load.requests_s for load in loads), 0)
    for name, given in (("", runs["ours"]), ("bare_", runs["bare"])):
        row[f"{name}router_cpu_us"] = median((router for _, router, _ in given), 0)
        row[f"{name}model_cpu_us"] = median((model for _, _, model in given), 0)
    row["p50_ratio"] = ratio((load.p50_ms for load in ours), (load.p50_ms for load in bare))
    row["requests_ratio"] = ratio((load.requests_s for load in ours), (load.requests_s for load in bare))
    return row


def measure(
    url: str,
    connections: int,
    processes: list[psutil.Process],
    seconds: int = SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Run:
    """Ask for so many seconds; `processes` are the router's, or the ingress', and the model's."""
    before = [cpu_s(process) for process in processes]
    load = wrk.post(url, BODY, connections, seconds, headers)
    router, model = (
        (cpu_s(process) - earlier) / (load.requests_s * seconds) * 1e6
        for process, earlier in zip(processes, before, strict=True)
    )
    return load, router, model
