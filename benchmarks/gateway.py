"""The chain with a remote model, against other gateways in front of the same upstream.

LiteLLM's proxy (an environment of its own, one worker, no database) and Portkey's gateway, both as `make bench-setup`
installs them below cache/bench/.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks import wrk
from benchmarks.report import Chart, Report, in_turn, median, ratio
from benchmarks.stage import config, serving
from tests.ports import free_port
from tests.service.service import ROOT, eventually

CONNECTIONS = {1: (1, 16), 2: (16,)}
"""By routers: one, as the others are one process each, and two, as serve_config.yaml has them."""
ROUNDS, SECONDS = 3, 3
START_S = 120.0
HOME = ROOT / "cache" / "bench"
BODY: dict[str, Any] = {"model": "upstream", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where it is asked, and what it wants beside the body."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


def run() -> Report:
    """All of them run at once and are asked in turn."""
    with ExitStack() as stack:
        upstream = stack.enter_context(_upstream())
        others = {
            "litellm": stack.enter_context(_litellm(upstream)),
            "portkey": stack.enter_context(_portkey(upstream)),
            "direct": Gateway(f"{upstream}/chat/completions"),
        }
        rows = []
        for routers, at in CONNECTIONS.items():
            with _ours(upstream, routers) as ours:
                rows += [{"routers": routers, **_row(connections, {"ours": ours, **others})} for connections in at]
    bars = tuple(f"{name}_requests_s" for name in ("ours", *others))
    chart = Chart(("routers", "connections"), bars, "requests/s", log=True)
    return Report("gateway", "A remote model through gateways", rows, chart, _versions())


def _row(connections: int, gateways: Mapping[str, Gateway]) -> dict[str, Any]:
    measures = {
        name: partial(wrk.post, gateway.url, BODY, connections, SECONDS, gateway.headers)
        for name, gateway in gateways.items()
    }
    for measure in measures.values():
        measure()
    runs = in_turn(measures, ROUNDS)
    row: dict[str, Any] = {"connections": connections}
    row |= {f"{name}_p50_ms": median(load.p50_ms for load in loads) for name, loads in runs.items()}
    row |= {f"{name}_requests_s": median((load.requests_s for load in loads), 0) for name, loads in runs.items()}
    rates = {name: [load.requests_s for load in loads] for name, loads in runs.items()}
    row |= {f"requests_to_{name}": ratio(rates["ours"], rates[name]) for name in ("litellm", "portkey", "direct")}
    return row


@contextmanager
def _ours(upstream: str, routers: int) -> Iterator[Gateway]:
    data = config(
        routers=routers,
        build="tests.service.standin:build_instant",
        remotes={"upstream": {"base_url": upstream, "model": "upstream"}},
    )
    with serving(data) as service:
        gateway = Gateway(f"{service.http.base_url}/v1/chat/completions")
        _wait(gateway)
        yield gateway


@contextmanager
def _upstream() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.upstream:app", "--port", str(port), "--no-access-log"]
    with _process([*command, "--log-level", "warning"]):
        _wait(Gateway(f"http://127.0.0.1:{port}/v1/chat/completions"))
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _litellm(upstream: str) -> Iterator[Gateway]:
    port, settings = free_port(), HOME / "litellm.yaml"
    params = {"model": "openai/upstream", "api_base": upstream, "api_key": "none"}
    settings.write_text(
        yaml.safe_dump(
            {
                "model_list": [{"model_name": "upstream", "litellm_params": params}],
                "litellm_settings": {"telemetry": False},
                # Nor do the others ask who calls.
                "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
            }
        )
    )
    program = _installed(HOME / "litellm" / "bin" / "litellm")
    with _process([program, "--config", settings, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]):
        gateway = Gateway(f"http://127.0.0.1:{port}/v1/chat/completions")
        _wait(gateway)
        yield gateway


@contextmanager
def _portkey(upstream: str) -> Iterator[Gateway]:
    port = free_port()
    server = _installed(HOME / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js")
    with _process(["node", server, f"--port={port}", "--headless"]):
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream, "authorization": "Bearer none"}
        gateway = Gateway(f"http://127.0.0.1:{port}/v1/chat/completions", headers)
        _wait(gateway)
        yield gateway


def _installed(path: Path) -> Path:
    if not path.exists():
        raise RuntimeError(f"{path.relative_to(ROOT)} is not there: run `make bench-setup` first")
    return path


@contextmanager
def _process(command: Sequence[str | Path]) -> Iterator[None]:
    # A trusted upstream on loopback is what Portkey refuses unless it is told.
    environment = os.environ | {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    log = HOME / f"{Path(command[0]).name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(gateway: Gateway) -> None:
    def answers() -> bool:
        response = httpx.post(gateway.url, json=BODY, headers=gateway.headers, timeout=10)
        if response.status_code != httpx.codes.OK:
            time.sleep(0.5)
            return False
        return str(response.json()["choices"][0]["message"]["content"]) == "Hello!"

    eventually(answers, START_S, every_s=0.5)


def _versions() -> dict[str, str]:
    site = next((HOME / "litellm" / "lib").glob("python*/site-packages"))
    litellm = next(found.version for found in distributions(name="litellm", path=[str(site)]))
    package = HOME / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "package.json"
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S607
    return {"litellm": litellm, "portkey": str(json.loads(package.read_text())["version"]), "node": node}
