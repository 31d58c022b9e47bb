"""`neverblank check`: every fault of a configuration is named, and nothing is started for it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app

SPEC = "format: python\nid: m\ntarget: examples.echo:Echo\n"


def check(*files: Path | str) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, files)])


def config(folder: Path, name: str = "m", spec: str = SPEC) -> Path:
    (folder / "m.yaml").write_text(spec)
    application = {
        "name": name,
        "import_path": "deployments.app:build_model",
        "args": {"spec": str(folder / "m.yaml")},
    }
    file = folder / "serve.yaml"
    file.write_text(json.dumps({"applications": [application]}))
    return file


def test_the_projects_own_configuration_is_valid() -> None:
    checked = check()

    assert checked.exit_code == 0
    assert all(word in checked.output for word in ("backup", "smollm2", "huggingface"))


def test_what_would_be_loaded_is_told_for_programs(tmp_path: Path) -> None:
    (planned,) = json.loads(check(config(tmp_path), "--json").output)

    assert (planned["name"], planned["format"], planned["source"]) == ("m", "python", "examples.echo:Echo")


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (SPEC + "colour: red\n", "colour"),
        ("format: python\nid: m\n", "target"),
        ("format: python\nid: Not A Name\ntarget: a:B\n", "id"),
        ("format: papyrus\nid: m\n", "format"),
        ("{", "YAML"),
    ],
)
def test_a_fault_is_named_by_its_key_and_is_an_error(tmp_path: Path, spec: str, key: str) -> None:
    checked = check(config(tmp_path, spec=spec))

    assert checked.exit_code == 1
    assert key in checked.output


def test_an_application_of_another_name_than_its_model_is_named(tmp_path: Path) -> None:
    checked = check(config(tmp_path, name="other"))

    assert checked.exit_code == 1
    assert "'m'" in checked.output


def test_every_fault_is_told_and_not_only_the_first(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(SPEC + f"wrong_{name}: 1\n")

    checked = check(tmp_path / "a.yaml", tmp_path / "b.yaml")

    assert "wrong_a" in checked.output
    assert "wrong_b" in checked.output


def test_a_file_that_is_not_there_is_named() -> None:
    checked = check("no/such/file.yaml")

    assert checked.exit_code == 1
    assert "no/such/file.yaml" in checked.output
