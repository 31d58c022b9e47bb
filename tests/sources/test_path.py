"""Folders that are already on the node."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.sources import NoSourceError, acquire
from tests.sources import tiny
from tests.sources.conftest import spec
from tests.sources.fakes import RecordingEvents


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MAX_MODEL_SIZE_MB", raising=False)
    return shutil.copytree(made, tmp_path / "models" / "tiny")


def _refused(folder: Path, cache: Path, **settings: Any) -> str:
    with pytest.raises(NoSourceError) as raised:
        acquire(spec({"kind": "path", "path": str(folder)}, **settings), cache, "auto", events=RecordingEvents())
    return str(raised.value)


def test_a_relative_folder_starts_from_the_projects_root(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEVERBLANK_ROOT", str(tmp_path))
    loaded = acquire(spec({"kind": "path", "path": "models/tiny"}), cache, "auto", events=RecordingEvents())
    assert (loaded.name, loaded.origin) == ("tiny", "path models/tiny")


def test_a_folder_over_the_limit_is_refused_before_it_is_read(folder: Path, cache: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(1_000_001))  # reading it would fail with another reason
    assert "1,000,001 bytes, over the limit of 1,000,000" in _refused(folder, cache, max_model_size_mb=1)


def test_a_folder_without_config_is_refused(folder: Path, cache: Path) -> None:
    (folder / "config.json").unlink()
    assert "holds no config.json" in _refused(folder, cache)


def test_pickled_weights_are_no_weights(folder: Path, cache: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "holds no weights" in _refused(folder, cache)


def test_a_folder_that_is_missing_is_refused_by_its_field_and_its_path(folder: Path, cache: Path) -> None:
    refused = _refused(folder / "missing", cache)

    assert f"path: there is nothing at {folder / 'missing'} on this node (accepted: a folder or a GGUF file" in refused


def test_weights_that_cannot_be_read_are_refused(folder: Path, cache: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    assert "cannot be read: " in _refused(folder, cache)


def test_a_folder_may_hold_one_gguf_file_instead(folder: Path, cache: Path) -> None:
    alone = folder.parent / "gguf"
    alone.mkdir()
    tiny.gguf(alone / "tiny.gguf")
    source = {"kind": "path", "path": str(alone)}
    loaded = acquire(spec(source), cache, "float32", events=RecordingEvents())
    assert loaded.dtype == "float32"
    shutil.copy(alone / "tiny.gguf", alone / "another.gguf")
    assert "it has 2 of the latter" in _refused(alone, cache)


def test_a_folder_that_leaves_the_model_roots_is_refused(folder: Path, cache: Path, tmp_path: Path) -> None:
    roots = tmp_path / "models"
    outside = shutil.move(folder, tmp_path / "elsewhere")
    roots.joinpath("link").symlink_to(outside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEVERBLANK_MODELS", str(roots))

        assert "leaves the model roots" in _refused(roots / "link", cache)
