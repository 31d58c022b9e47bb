"""`neverblank init`: an empty folder becomes a project, and a folder with something of its own loses nothing."""

from importlib import import_module
from pathlib import Path

import pytest

from deployments.cli.layout import CARRIED, lay_out_files, project_files
from tests.architecture.test_layers import ROOT
from tests.cli.serving import neverblank

layout = import_module("deployments.cli.layout")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_folder_gets_the_files_of_a_service_and_an_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = neverblank(capsys, monkeypatch, "init", str(tmp_path / "mine"))

    assert done.code == 0
    assert {"serve_config.yaml", "configs/policy.yaml", "configs/backup.yaml", "examples/echo.py"} <= files_in(
        tmp_path / "mine"
    )
    assert set(done.out.split()) == files_in(tmp_path / "mine")


def test_what_is_laid_out_is_a_config_without_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out_files(tmp_path)
    monkeypatch.setenv("NEVERBLANK_ROOT", str(tmp_path))

    assert neverblank(capsys, monkeypatch, "check").code == 0


def test_a_second_time_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lay_out_files(tmp_path)

    again = neverblank(capsys, monkeypatch, "init", str(tmp_path))

    assert (again.code, again.out) == (0, "")
    assert f"{len(first.written)} of the files were there" in again.err


def test_a_file_that_differs_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serve_config.yaml").write_text("mine")

    done = neverblank(capsys, monkeypatch, "init", str(tmp_path))

    assert done.code == 1
    assert "serve_config.yaml" in done.err
    assert files_in(tmp_path) == {"serve_config.yaml"}


def test_an_installed_wheel_lays_out_what_it_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wheel" / CARRIED / "configs").mkdir(parents=True)
    (tmp_path / "wheel" / CARRIED / "configs/policy.yaml").write_text("carried")
    monkeypatch.setattr(layout, "__file__", str(tmp_path / "wheel/layout.py"))

    lay_out_files(tmp_path / "mine")

    assert (tmp_path / "mine/configs/policy.yaml").read_text() == "carried"


def test_the_pins_of_this_repository_are_no_part_of_a_project() -> None:
    assert "configs/constraints.txt" not in list(project_files(ROOT))
