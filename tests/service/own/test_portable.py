"""The same service without HAProxy, as it runs where ray[serve] brings none."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from tests.service.service import ROOT, Service


@pytest.fixture(scope="module")
def portable() -> Iterator[Service]:
    """A service of configs/portable.yaml."""
    running = Service(yaml.safe_load((ROOT / "configs" / "portable.yaml").read_text()))
    try:
        running.wait_ready("smollm2")
        yield running
    finally:
        running.stop()


def test_the_portable_config_serves_the_model_and_the_backup(portable: Service) -> None:
    answered, _ = portable.ask({"text": "What is the capital of France?", "temperature": 0})
    rescued, _ = portable.ask({"text": "Hello", "max_tokens": 4}, "nobody-knows-it")

    assert "Paris" in answered["result"]
    assert rescued["served_by"] == "backup"


def test_the_portable_config_explains_a_bad_request(portable: Service) -> None:
    response = portable.http.post("/v1/infer", json={"text": ""})

    assert response.status_code == 400
    assert response.json()["error"]["field"] == "text"


def test_no_haproxy_runs_in_the_portable_config(portable: Service) -> None:
    assert [p.name() for p in portable.family() if p.name() == "haproxy"] == []


def test_an_environment_without_a_service_says_so_and_does_nothing() -> None:
    stop = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "stop"],
        cwd="/",
        env={"NEVERBLANK_ROOT": "/"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (stop.returncode, stop.stderr.strip()) == (0, "no service runs in this folder")
