"""One reader for Serve configs: what it gives is a list of applications, and whatever is wrong is named."""

from pathlib import Path

import pytest

from deployments.ray_serve.serve_config import is_serve_config, list_applications, read_serve_config, read_yaml
from deployments.settings import SettingsError


def test_the_applications_of_the_projects_own_config_are_listed() -> None:
    applications = list_applications(read_serve_config("serve_config.yaml"), "serve_config.yaml")

    assert [application["name"] for application in applications] == ["neverblank", "smollm2"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("applications: [", "is not YAML: .*line 1"),
        ("id: m", "applications: is missing"),
        ("- 1", "applications: is missing"),
        ("applications:", "applications: is not a list of mappings"),
        ("applications: [neverblank]", "applications: is not a list of mappings"),
    ],
)
def test_a_config_that_lists_no_applications_is_refused_by_its_name(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError, match=wrong) as caught:
        read_serve_config(str(file))
    assert caught.value.file == str(file)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no/such/serve\.yaml: cannot be read"):
        read_serve_config("no/such/serve.yaml")


def test_a_spec_is_no_serve_config() -> None:
    assert not is_serve_config(read_yaml("configs/models/smollm2.yaml"))
    assert is_serve_config(read_yaml("configs/gpu.yaml"))
