"""Specs and a Serve config that a test changes, and `neverblank deploy` on them."""

import copy
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.service.service import BIN, ROOT, Service, eventually

Applications = Mapping[str, Mapping[str, Any]]
"""What `neverblank deploy --json` says of each application."""


@dataclass(slots=True)
class Rollout:
    """A folder of specs, and the Serve config that lists them.

    Attributes:
        folder: where they are.
        config: the Serve config; `serve_config.yaml` without its model.
    """

    folder: Path
    config: dict[str, Any] = field(init=False)
    _model: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        self._model = self.config["applications"].pop()
        self.config["applications"][0]["args"]["routers"] = 1

    def write(self, name: str, *, listed: bool = True, **spec: Any) -> Path:
        """Write the spec of a `Versioned` model; `arguments` are its constructor's."""
        file = self.folder / f"{name}.yaml"
        target = {"format": "python", "target": "tests.service.models:Versioned", "num_cpus": 0.05}
        if spec.get("multiplexed"):
            del target["num_cpus"]
        file.write_text(yaml.safe_dump({"id": name, **target, **spec}))
        if listed:
            self._list(name, "deployments.app:build_model", {"spec": str(file)})
        return file

    def write_pool(self, name: str, members: list[Path], **pool: Any) -> None:
        """Write the file of a pool and list it."""
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"models": [str(member) for member in members], "num_cpus": 0.05, **pool}))
        self._list(name, "deployments.app:build_pool", {"pool": str(file)})

    def drop(self, name: str) -> None:
        """Take an application off the list."""
        self.config["applications"] = [app for app in self.config["applications"] if app["name"] != name]

    def deploy(self, service: Service) -> tuple[int, Applications, str]:
        """Run `neverblank deploy`: its exit code, what it says of each application, and its standard error."""
        # What the cluster was started with stays as it is: ports among it.
        config = service.with_ports(copy.deepcopy(self.config))
        file = self.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [str(BIN / "neverblank"), "deploy", str(file), "--json", "--wait", "120"]
        command += ["--address", dashboard(service), "--url", str(service.http.base_url)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)  # noqa: S603
        told = json.loads(done.stdout) if done.stdout else []
        return done.returncode, {application["name"]: application for application in told}, done.stderr

    def _list(self, name: str, import_path: str, args: dict[str, Any]) -> None:
        self.drop(name)
        self.config["applications"].append({**self._model, "name": name, "import_path": import_path, "args": args})


def dashboard(service: Service) -> str:
    """The address of the dashboard of the service's cluster."""
    found = eventually(lambda: re.search(r"dashboard at \S*?(http://[\d.]+:\d+)", service.log))
    assert found is not None
    return found[1]
