"""One real service for all tests of this folder: the project's own config, and models that fail on demand."""

from collections.abc import Iterator
from typing import Any

import pytest
import ray
import yaml

from tests.service.service import ROOT, Service

SPECS = "tests/service/configs"
FAULTY = ("faulty", "blocking", "slow", "broken", "missing", "invalid")


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The service of `serve_config.yaml`, with the models of tests/service/models.py beside smollm2."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    model = config["applications"][1]
    for name in FAULTY:
        config["applications"].append(model | {"name": name, "args": {"spec": f"{SPECS}/{name}.yaml"}})
    config["applications"][0]["deployments"][0]["user_config"] = {"breaker": {"failures": 1000}}
    running = Service(config)
    try:
        running.wait_ready("smollm2", "faulty", "blocking")
        yield running
    finally:
        running.stop()


@pytest.fixture
def cluster(service: Service) -> Iterator[None]:
    """This process, connected to the service's cluster as a Ray job is."""
    ray.init(address=service.address, namespace="serve", log_to_driver=False, configure_logging=False)
    try:
        yield
    finally:
        ray.shutdown()
