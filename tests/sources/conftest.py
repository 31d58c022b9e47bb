"""Fixtures: a tiny model, a hub that has it, and an empty cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.settings import HuggingFaceSpec, parse
from tests.sources import tiny
from tests.sources.fakes import FakeHub, RecordingEvents, serving

HUB = {"kind": "hub", "repo": "some/tiny"}


def spec(*sources: dict[str, Any], **settings: Any) -> HuggingFaceSpec:
    """The spec of a model with these sources."""
    return parse(HuggingFaceSpec, {"format": "huggingface", "id": "tiny", "sources": list(sources), **settings}, "test")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in transformers' format; not to be changed."""
    return tiny.folder(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture(autouse=True)
def _models_here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow models in the test's own folder and in that of the shared model."""
    monkeypatch.setenv("NEVERBLANK_MODELS", f"{tmp_path}{os.pathsep}{made}")


@pytest.fixture
def recorded() -> RecordingEvents:
    return RecordingEvents()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that has the tiny model, and which the library asks; the library's cache is empty."""
    folder = shutil.copytree(made, tmp_path / "repository")
    with serving(FakeHub(folder)) as hub:
        use_hub(hub.address, tmp_path, monkeypatch)
        yield hub


def use_hub(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `address` the hub. The library reads its environment once, when it is imported."""
    from huggingface_hub import constants

    monkeypatch.delenv("MAX_MODEL_SIZE_MB", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "library"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
