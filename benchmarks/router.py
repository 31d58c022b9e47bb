"""What the whole chain costs: router to `python` echo model, against a bare Serve composition with its switches."""

from functools import partial

from benchmarks import wrk
from benchmarks.report import Chart, Report, in_turn, median, ratio
from benchmarks.stage import config, serving
from tests.service.service import eventually

CONNECTIONS = (1, 16, 64)
ROUNDS, SECONDS = 5, 3
BODY = {"text": "Hello"}


def run() -> Report:
    """One router and one ingress replica: they share two cores with the model, the load and HAProxy."""
    echo = {"name": "echo", "args": {"spec": "configs/models/echo.yaml"}}
    bare = {"name": "bare", "route_prefix": "/bare", "import_path": "benchmarks.bare:build", "args": {}}
    with serving(config(echo, bare, build="tests.service.standin:build_instant"), "echo") as service:
        eventually(lambda: service.http.post("/bare/infer", json=BODY).raise_for_status())
        urls = {"ours": f"{service.http.base_url}/v1/infer/echo", "bare": f"{service.http.base_url}/bare/infer"}
        for url in urls.values():
            wrk.post(url, BODY, 16, 3)
        rows = []
        for connections in CONNECTIONS:
            runs = in_turn(
                {name: partial(wrk.post, url, BODY, connections, SECONDS) for name, url in urls.items()}, ROUNDS
            )
            ours, theirs = runs["ours"], runs["bare"]
            rows.append(
                {
                    "connections": connections,
                    "p50_ms": median(load.p50_ms for load in ours),
                    "bare_p50_ms": median(load.p50_ms for load in theirs),
                    "p99_ms": median(load.p99_ms for load in ours),
                    "bare_p99_ms": median(load.p99_ms for load in theirs),
                    "requests_s": median((load.requests_s for load in ours), 0),
                    "bare_requests_s": median((load.requests_s for load in theirs), 0),
                    "p50_ratio": ratio((load.p50_ms for load in ours), (load.p50_ms for load in theirs)),
                    "requests_ratio": ratio((load.requests_s for load in ours), (load.requests_s for load in theirs)),
                }
            )
    chart = Chart(("connections",), ("p50_ratio", "requests_ratio"), "ratio to the bare composition")
    return Report("router", "What the chain costs over a bare Serve composition", rows, chart)
