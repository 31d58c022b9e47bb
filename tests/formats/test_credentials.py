"""Code in somebody else's model file finds no credentials in its process."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.app import build_model, build_pool
from deployments.formats import load_model
from deployments.formats.credentials import remove_credentials
from deployments.settings import PickleSpec
from deployments.settings.credentials import credentials


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Put back as it was."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


ENVIRONMENT = {
    "OPENAI_API_KEY": "x", "AWS_SECRET_ACCESS_KEY": "x", "HF_TOKEN": "x", "DB_PASSWORD": "x", "DATABASE_URL": "x",
    "GITHUB_TOKEN": "x", "PATH": "/bin", "RAY_AUTH_TOKEN": "x", "HOME": "/", "KEYBOARD": "us", "MONKEY": "x",
}  # fmt: skip


def test_credentials_are_known_by_their_names() -> None:
    assert set(ENVIRONMENT) - set(credentials(ENVIRONMENT)) == {"PATH", "RAY_AUTH_TOKEN", "HOME", "KEYBOARD", "MONKEY"}


def test_a_replica_removes_credentials_before_it_loads_somebody_elses_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "hunter2")

    with pytest.raises(FileNotFoundError):
        load_model(PickleSpec(format="pickle", id="m", path=str(tmp_path / "gone")), tmp_path)

    assert "MY_API_KEY" not in os.environ
    environment = dict(ENVIRONMENT)
    remove_credentials(environment)
    assert "PATH" in environment


def test_replicas_of_files_are_started_without_credentials_and_others_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "hunter2")

    def variables(build: Callable[[Any], Any], **spec: Any) -> dict[str, str]:
        file = tmp_path / "spec.yaml"
        file.write_text(yaml.safe_dump(spec))
        key = "pool" if "models" in spec else "spec"
        deployment = build({key: str(file)})._bound_deployment
        return dict(deployment.ray_actor_options["runtime_env"]["env_vars"])

    pickle = {"format": "pickle", "id": "m", "path": "x"}
    member = tmp_path / "member.yaml"
    member.write_text(yaml.safe_dump(pickle | {"multiplexed": True}))
    assert variables(build_model, **pickle)["MY_API_KEY"] == ""
    assert variables(build_pool, models=[str(member)])["MY_API_KEY"] == ""
    assert "MY_API_KEY" not in variables(build_model, format="python", id="m", target="a:B")
