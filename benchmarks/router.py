"""What the whole chain costs: router to `python` echo model, against a bare Serve composition.

Both run in one Serve instance with the switches of serve_config.yaml and are measured in turn, A B A B ..., with
`wrk` (Debian: apt-get install wrk). Run it from the project's root: .venv/bin/python -m benchmarks.router
"""

import json
import re
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.service.service import ROOT, Service, eventually

ROUNDS = 5
SECONDS = 4
CONNECTIONS = (1, 16)
_SCRIPT = 'wrk.method = "POST"\nwrk.body = \'{"text": "Hello"}\'\nwrk.headers["content-type"] = "application/json"\n'


def measure(url: str, connections: int, seconds: int, script: Path) -> tuple[float, float]:
    """One run of wrk: the median latency in milliseconds and requests per second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed:
        raise RuntimeError(f"{url} answered with errors:\n{printed}")
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", printed).groups()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed).group(1)
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit], float(rate)


def config() -> dict[str, Any]:
    """serve_config.yaml with the echo model, and the bare composition beside it."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    model = data["applications"][1]
    echo = model | {"name": "echo", "args": {"spec": "configs/models/echo.yaml"}}
    bare = model | {"name": "bare", "route_prefix": "/bare", "import_path": "benchmarks.bare:build", "args": {}}
    data["applications"] = [data["applications"][0], echo, bare]
    return data


def main() -> None:
    """Measure and print a table."""
    service = Service(config())
    try:
        service.wait_ready("echo")
        eventually(lambda: service.http.post("/bare/infer", json={"text": "Hello"}).raise_for_status())
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "post.lua"
            script.write_text(_SCRIPT)
            ours, bare = f"{service.http.base_url}/v1/infer/echo", f"{service.http.base_url}/bare/infer"
            for url in (ours, bare):
                measure(url, 16, 3, script)
            report(ours, bare, script)
    finally:
        service.stop()


def report(ours: str, bare: str, script: Path) -> None:
    """Measure both in turn at each number of connections; medians, and the median of the pairs' ratios."""
    for connections in CONNECTIONS:
        pairs = [
            (measure(ours, connections, SECONDS, script), measure(bare, connections, SECONDS, script))
            for _ in range(ROUNDS)
        ]
        line = {
            "connections": connections,
            "p50_ms": round(statistics.median(a[0] for a, _ in pairs), 2),
            "bare_p50_ms": round(statistics.median(b[0] for _, b in pairs), 2),
            "p50_ratio": round(statistics.median(a[0] / b[0] for a, b in pairs), 3),
            "requests_s": round(statistics.median(a[1] for a, _ in pairs)),
            "bare_requests_s": round(statistics.median(b[1] for _, b in pairs)),
            "requests_ratio": round(statistics.median(a[1] / b[1] for a, b in pairs), 3),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
