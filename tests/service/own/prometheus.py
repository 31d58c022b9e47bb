"""A real Prometheus that scrapes a real service, by the files of deploy/observe."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.ports import free_port
from tests.service.service import ROOT, Service, eventually

SEEN_S = 90.0
"""Seconds until what was counted is surely seen: it is reported every ten, scraped every ten, and a rate needs two."""

OBSERVE = ROOT / "deploy" / "observe"


class Prometheus:
    """Debian's Prometheus, in a process of its own."""

    def __init__(self, service: Service, folder: Path) -> None:
        """Start it on a free port; it keeps what it scrapes in `folder`."""
        config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
        config["rule_files"] = [str(OBSERVE / "rules.yml")]
        (discovery,) = config["scrape_configs"][0]["file_sd_configs"]
        discovery["files"] = [str(service.session / "ray" / Path(discovery["files"][0]).name)]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._process = subprocess.Popen(command)  # noqa: S603 - our own command
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0)
        eventually(lambda: self._http.get("/-/ready").status_code == 200)

    def wait_for(self, expression: str, meanwhile: Callable[[], object] = lambda: None) -> list[dict[str, Any]]:
        """Wait until an expression gives data, with `meanwhile` called until then; an error says how each target is."""

        def found() -> list[dict[str, Any]]:
            data = self.query(expression)
            if not data:
                meanwhile()
            return data

        try:
            return eventually(found, SEEN_S, every_s=1.0)
        except TimeoutError as error:
            raise TimeoutError(f"no data: {expression}; {self.targets()}") from error

    def targets(self) -> list[tuple[str, str, str, float]]:
        """Of each target its address, its health, its last error, and how long its last scrape took."""
        told = self._http.get("/api/v1/targets").json()["data"]["activeTargets"]
        return [(each["scrapeUrl"], each["health"], each["lastError"], each["lastScrapeDuration"]) for each in told]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        told = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert told["status"] == "success", f"{expression}: {told}"
        found: list[dict[str, Any]] = told["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alerts as Prometheus has read them, with the health of each."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def stop(self) -> None:
        """End it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(20)


def panels() -> dict[str, list[str]]:
    """The expressions of each panel of the dashboard."""
    dashboard = json.loads((OBSERVE / "dashboard.json").read_text())
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in dashboard["panels"]}


def measured(expression: str) -> str:
    """What an alert compares with its bound: `(measured) > 1` without the bound."""
    inner, bracket, bound = expression.rpartition(")")
    return inner + bracket if bracket and bound.strip()[:1] in {">", "<", "="} else expression
