"""What it costs that a model fails: the answer of the backup after the failure, against asking the backup directly.

The backup answers at once (`tests/service/standin.py`), so that what is added can be seen beside it.
"""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.report import Chart, Report, median
from benchmarks.stage import config, serving
from tests.service.service import Service, eventually

ROUNDS = 200
SLOW_ROUNDS = 3
DEADLINE_S = 2.0
_FAULTS = {"raises": {"fault": "raise"}, "blank": {"fault": "return", "value": "  "}}


def run() -> Report:
    """One caller, one connection, one request after the other."""
    breaker = {"failures": 5, "failure_rate": 1.0, "open_seconds": 120, "open_max_seconds": 120}
    faulty = {"name": "faulty", "args": {"spec": "benchmarks/configs/faulty.yaml"}}
    # A hedge answers first now and then: what is asked here is what a failure costs.
    off = {"enabled": False}
    # Callers who wait for less time than is usual show nothing about a model: here it is usual to wait for this long.
    policy: dict[str, Any] = {"breaker": breaker, "hedging": off, "timeout_seconds": DEADLINE_S}
    data = config(faulty, build="tests.service.standin:build_instant", **policy)
    with serving(data, "faulty") as service:
        asking = _Caller(service)
        rows = [asking.instant(kind, fault) for kind, fault in _FAULTS.items()]
        rows += asking.death()
        rows += asking.silence()
    return Report(
        "failover",
        "What a failing model adds to the backup's answer",
        rows,
        Chart(("kind",), ("added_ms",), "ms", log=True),
    )


class _Caller:
    """Asks and times."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)

    def instant(self, kind: str, fault: Mapping[str, Any]) -> dict[str, Any]:
        """A failure that is seen at once. Every fourth request is answered, so that the breaker stays closed."""
        direct, failed = [], []
        for number in range(ROUNDS):
            direct.append(self._ask("backup", {}, "backup"))
            failed.append(self._ask("faulty", fault, "backup"))
            if number % 3 == 0:
                self._ask("faulty", {}, "primary")
        return _row(kind, direct[20:], failed[20:])

    def death(self) -> list[dict[str, Any]]:
        """The replica's process dies with the request, and then there is none for some seconds."""
        direct, died, gone = [], [], []
        for _ in range(SLOW_ROUNDS):
            direct += [self._ask("backup", {}, "backup") for _ in range(20)]
            died.append(self._ask("faulty", {"fault": "die"}, "backup"))
            gone += [self._ask("faulty", {}, "backup") for _ in range(20)]
            self._service.wait_ready("faulty")
            eventually(lambda: self._served_by("faulty", {}) == "primary")
        return [_row("its process dies", direct, died), _row("no replica is left", direct, gone)]

    def silence(self) -> list[dict[str, Any]]:
        """It hangs: at first each request waits for the cut-over, then the breaker is open. Has to be the last."""
        direct = [self._ask("backup", {}, "backup") for _ in range(50)]
        waited = [self._ask("faulty", {"fault": "hang", "timeout": DEADLINE_S}, "backup") for _ in range(SLOW_ROUNDS)]
        eventually(self._breaker_opened, every_s=0.0)
        refused = [self._ask("faulty", {"fault": "hang", "timeout": DEADLINE_S}, "backup") for _ in range(ROUNDS)]
        return [
            _row(f"hangs, {DEADLINE_S:g} s deadline, breaker closed", direct, waited),
            _row("hangs, breaker open", direct, refused),
        ]

    def _breaker_opened(self) -> bool:
        self._served_by("faulty", {"fault": "hang", "timeout": DEADLINE_S})
        return bool(self._service.status()["models"]["faulty"]["breaker"] == "open")

    def _ask(self, model: str, inputs: Mapping[str, Any], tier: str) -> float:
        started = time.perf_counter()
        served_by = self._served_by(model, inputs)
        seconds = time.perf_counter() - started
        if served_by != tier:
            raise RuntimeError(f"{model} with {inputs} was answered by {served_by}, not by {tier}")
        return seconds * 1000

    def _served_by(self, model: str, inputs: Mapping[str, Any]) -> str:
        body = json.dumps({"text": "Hello", **inputs})
        self._connection.request("POST", f"/v1/infer/{model}", body, {"content-type": "application/json"})
        return str(json.loads(self._connection.getresponse().read())["served_by"])


def _row(kind: str, direct: list[float], failed: list[float]) -> dict[str, Any]:
    usual, instead = median(direct), median(failed)
    row = {"kind": kind, "direct_p50_ms": usual, "p50_ms": instead, "requests": len(failed)}
    return {**row, "added_ms": round(instead - usual, 3)}
