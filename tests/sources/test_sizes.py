"""The size of weights is told from what is on the node; nothing is fetched for it."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.sources import acquire
from deployments.sources.errors import ModelTooLargeError
from deployments.sources.sizes import ModelSize, size_of_gguf, size_of_weights
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents

NOWHERE = {"kind": "path", "path": "/nowhere/at/all"}


def at(path: Path) -> dict[str, Any]:
    return {"kind": "path", "path": str(path)}


def test_weights_that_have_to_be_fetched_have_no_size_and_are_not_fetched(hub: FakeHub, cache: Path) -> None:
    assert size_of_weights(spec(HUB), cache) is None
    assert size_of_gguf(spec(HUB), cache) is None
    assert hub.requests == []


def test_a_snapshot_is_what_replicas_share(hub: FakeHub, cache: Path) -> None:
    loaded = acquire(spec(HUB), cache, "auto", events=RecordingEvents())

    size = size_of_weights(spec(HUB), cache)

    weights = sum(tensor.nbytes for tensor in loaded.model.state_dict().values())
    assert size is not None
    assert (size.origin, size.shared) == ("snapshot tiny@main", True)
    assert size.size == pytest.approx(weights, rel=0.5)


def test_a_folder_of_the_node_is_measured_and_a_source_that_is_not_there_is_passed_over(
    made: Path, cache: Path
) -> None:
    size = size_of_weights(spec(NOWHERE, at(made)), cache)

    files = sum(file.stat().st_size for file in made.glob("*.safetensors"))
    assert size == ModelSize(f"path {made}", files)


def test_weights_over_the_limit_are_refused_unless_another_source_is_within_it(
    made: Path, tmp_path: Path, cache: Path
) -> None:
    large = shutil.copytree(made, tmp_path / "large")
    os.truncate(large / "model.safetensors", 1_000_001)

    with pytest.raises(ModelTooLargeError):
        size_of_weights(spec(at(large), max_model_size_mb=1), cache)
    within = size_of_weights(spec(at(large), at(made), max_model_size_mb=1), cache)
    assert within is not None
    assert within.origin == f"path {made}"


def test_the_gguf_file_that_openvino_reads_has_the_size_of_its_prepared_form(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "gguf").mkdir()
    file = tiny.gguf(tmp_path / "gguf" / "tiny.gguf")

    size = size_of_gguf(spec(NOWHERE, at(tmp_path / "gguf")), cache)

    assert size is not None
    assert (size.origin, size.shared) == (f"path {tmp_path / 'gguf'}", True)
    assert size.size >= file.stat().st_size


def test_safetensors_are_no_gguf_file_and_one_over_the_limit_is_refused(
    made: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "gguf").mkdir()
    os.truncate(tiny.gguf(tmp_path / "gguf" / "tiny.gguf"), 1_000_001)

    assert size_of_gguf(spec(at(made)), cache) is None
    with pytest.raises(ModelTooLargeError):
        size_of_gguf(spec(at(tmp_path / "gguf"), max_model_size_mb=1), cache)
