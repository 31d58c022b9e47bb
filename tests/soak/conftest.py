"""Soaks: minutes of load and of killing on real services. Not part of `make test`; `make soak` runs them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.observability import log
from deployments.ray_serve.options import autoscaling_config
from deployments.settings import read_backup_spec, read_model_spec, root
from deployments.sources import acquire
from tests.service.service import ROOT, Service, Upstream

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.soak)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as safetensors, made from the file that the package has."""
    spec = read_model_spec("configs/models/smollm2.yaml")
    loaded = acquire(spec, root() / "cache", "float32", events=log.SourceEvents())  # type: ignore[arg-type]
    made = tmp_path_factory.mktemp("smollm2")
    loaded.model.save_pretrained(made)
    loaded.tokenizer.save_pretrained(made)
    return made


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The fault-injecting upstream, as a process."""
    running = Upstream()
    yield running
    running.stop()


@pytest.fixture
def start(upstream: Upstream) -> Iterator[Callable[..., Service]]:
    """Starts the service of `serve_config.yaml` with other models, specs and policy than there."""
    running: list[Service] = []

    def started(
        *models: str,
        backup: str = "configs/backup.yaml",
        remotes: tuple[str, ...] = (),
        build: str = "deployments.app:build",
        ahead: bool = True,
        **policy: Any,
    ) -> Service:
        config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        main, model = config["applications"]
        main |= {"import_path": build, "args": main["args"] | {"backup": backup}}
        if not ahead:
            by_queue = autoscaling_config(read_backup_spec(backup))
            main["deployments"].append({"name": "Backup", "autoscaling_config": by_queue})
        declared = {name: {"base_url": upstream.url, "model": name} for name in remotes}
        main["deployments"][0]["user_config"] = {"remotes": declared, "default_model": None, **policy}
        config["applications"] = [
            main,
            *(model | {"name": name, "args": {"spec": f"tests/soak/configs/{name}.yaml"}} for name in models),
        ]
        running.append(Service(config))
        running[-1].wait_ready(*models)
        return running[-1]

    yield started
    for service in running:
        if service.process.poll() is None:
            service.stop()
