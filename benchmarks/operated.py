"""What it costs to run the router in earnest: keys with limits, metrics and sampled traces, against none of them.

Two services that differ in nothing else run at once, and are asked in turn. `SECONDS=2 python -m benchmarks operated`
only tries it out.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import wrk
from benchmarks.report import Chart, Report, in_turn, median, ratio
from benchmarks.router import BODY, CONNECTIONS, measure
from benchmarks.stage import config, serving
from tests.access.keys import bearer, write_keys
from tests.otlp import receiving
from tests.service.service import Service

ROUNDS = 7
SECONDS = int(os.environ.get("SECONDS", "5"))
KEYS = 100
"""Beside the one that asks: a team's file, not one key."""
LIMITS = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "money_per_day": 1e12}
SHARE = 0.01
"""Of the requests that are traced."""

_REPLICAS = ("neverblank:Router", "echo:Model")
_Asked = tuple[Service, dict[str, str]]


def run() -> Report:
    """One router each; both services, the load and two HAProxys share two cores."""
    with ExitStack() as stack:
        services = {"on": stack.enter_context(_on()), "off": stack.enter_context(_off())}
        for service, headers in services.values():
            wrk.post(_url(service), BODY, 16, min(SECONDS, 3), headers)
        rows = [_row(services, connections) for connections in CONNECTIONS]
    chart = Chart(("connections",), ("p50_ratio", "requests_ratio"), "ratio to the service without them")
    return Report("operated", "What keys with limits, metrics and sampled traces cost", rows, chart)


def _row(services: dict[str, _Asked], connections: int) -> dict[str, Any]:
    measures = {
        name: partial(
            measure, _url(service), connections, [service.replica(one) for one in _REPLICAS], SECONDS, headers
        )
        for name, (service, headers) in services.items()
    }
    runs = in_turn(measures, ROUNDS)
    loads = {name: [load for load, _, _ in given] for name, given in runs.items()}
    row: dict[str, Any] = {"connections": connections}
    for name, given in runs.items():
        row[f"{name}_p50_ms"] = median(load.p50_ms for load in loads[name])
        row[f"{name}_requests_s"] = median((load.requests_s for load in loads[name]), 0)
        row[f"{name}_router_cpu_us"] = median((router for _, router, _ in given), 0)
    row["p50_ratio"] = ratio((load.p50_ms for load in loads["on"]), (load.p50_ms for load in loads["off"]))
    row["requests_ratio"] = ratio((load.requests_s for load in loads["on"]), (load.requests_s for load in loads["off"]))
    return row


@contextmanager
def _on() -> Iterator[_Asked]:
    with tempfile.TemporaryDirectory() as folder, receiving() as receiver:
        file = Path(folder) / "keys.yaml"
        others = {f"team-{number}": dict(LIMITS) for number in range(KEYS)}
        keys = write_keys(file, asks=dict(LIMITS), boss={"admin": True}, **others)
        policy: dict[str, Any] = {
            "access": {"keys": str(file)},
            "prices": {"echo": {"input": 1, "output": 1}},
            "traces": {"endpoint": receiver.url, "share": SHARE},
        }
        headers = bearer(keys["boss"])
        data = config(_ECHO, build="tests.service.standin:build_instant", **policy)
        with serving(data, "echo", headers=headers) as service:
            yield service, bearer(keys["asks"])


@contextmanager
def _off() -> Iterator[_Asked]:
    with serving(config(_ECHO, build="benchmarks.uncounted:build"), "echo") as service:
        yield service, {}


def _url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}/v1/infer/echo"


_ECHO = {"name": "echo", "args": {"spec": "configs/models/echo.yaml"}}
