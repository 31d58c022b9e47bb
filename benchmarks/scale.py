"""Many models and several routers: what another one costs the others, in latency and in memory."""

import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import wrk
from benchmarks.report import Chart, Report
from benchmarks.stage import config, serving
from tests.service.service import Service

SIZES = ((1, 1), (1, 2), (1, 4), (10, 1), (50, 1))
SECONDS = 3
IDLE_S = 5.0
BODY = {"text": "Hello"}


def run() -> Report:
    """Echo models, each an application of its own with one replica; one of them is asked."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for models, routers in SIZES:
            names = [f"echo{number}" for number in range(models)]
            applications = [{"name": name, "args": {"spec": _spec(Path(folder), name)}} for name in names]
            data = config(*applications, routers=routers, build="tests.service.standin:build_instant")
            with serving(data, *names) as service:
                rows.append({"models": models, "routers": routers, **_measured(service, names)})
    chart = Chart(("models", "routers"), ("p50_ms", "model_pss_mb", "idle_cpu_percent"), "ms, MB, %", log=True)
    return Report("scale", "Registered models and routers", rows, chart)


def _measured(service: Service, names: list[str]) -> dict[str, Any]:
    url = f"{service.http.base_url}/v1/infer/{names[0]}"
    wrk.post(url, BODY, 16, 3)
    alone, together = wrk.post(url, BODY, 1, SECONDS), wrk.post(url, BODY, 16, SECONDS)
    models = [_pss_mb(service.replica(f"{name}:Model")) for name in names]
    return {
        "p50_ms": alone.p50_ms,
        "p99_ms": alone.p99_ms,
        "requests_s_16": round(together.requests_s),
        "model_pss_mb": round(sum(models) / len(models)),
        "router_pss_mb": round(_pss_mb(service.replica("neverblank:Router"))),
        "idle_cpu_percent": _idle_cpu(service),
    }


def _spec(folder: Path, name: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"format": "python", "id": name, "target": "examples.echo:Echo", "num_cpus": 0.01}))
    return str(path)


def _pss_mb(process: psutil.Process) -> float:
    """Its proportional set size: what it shares is divided by those it shares it with."""
    return float(process.memory_full_info().pss) / 1e6


def _idle_cpu(service: Service) -> float:
    """Percent of one core that all processes take while nobody asks."""

    def spent() -> float:
        total = 0.0
        for process in service.family():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    before = spent()
    time.sleep(IDLE_S)
    return round((spent() - before) / IDLE_S * 100, 1)
