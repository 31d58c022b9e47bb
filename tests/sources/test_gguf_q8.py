"""GGUF files are converted where OpenVINO does not read their tensor types correctly."""

import os
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, quants

from deployments.sources.errors import ModelTooLargeError, SourceError
from deployments.sources.gguf_q8 import SUPPORTED_TYPES, prepare_gguf
from tests.sources import tiny

LIMIT = 10_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The tiny model, its matrices in Q4_1."""
    return tiny.gguf(tmp_path / "tiny.gguf")


def values(file: Path) -> dict[str, np.ndarray]:
    reader = GGUFReader(file)
    return {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}


def test_unsupported_tensor_types_are_converted_and_all_metadata_is_kept(file: Path, cache: Path) -> None:
    prepared = prepare_gguf(file, cache, LIMIT)

    before, after = GGUFReader(file), GGUFReader(prepared.path)
    assert prepared.context == 128
    assert {tensor.tensor_type.name for tensor in after.tensors} <= SUPPORTED_TYPES
    skipped = {"general.file_type"}
    fields = {name: field.contents() for name, field in before.fields.items() if not name.startswith("GGUF.")}
    assert {name: after.fields[name].contents() for name in fields.keys() - skipped} == fields
    for name, value in values(prepared.path).items():
        np.testing.assert_allclose(value, values(file)[name], atol=0.02)


def test_a_file_is_converted_once(file: Path, cache: Path) -> None:
    first = prepare_gguf(file, cache, LIMIT)
    made = first.path.stat().st_mtime_ns

    assert prepare_gguf(file, cache, LIMIT) == first
    assert first.path.stat().st_mtime_ns == made


def test_a_file_with_supported_types_is_used_as_it_is(file: Path, cache: Path) -> None:
    converted = prepare_gguf(file, cache, LIMIT).path

    assert prepare_gguf(converted, cache, LIMIT).path == converted


def test_a_file_is_converted_again_if_its_conversion_is_damaged_or_the_file_has_changed(
    file: Path, cache: Path
) -> None:
    first = prepare_gguf(file, cache, LIMIT)
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-1] + b"x")
    assert prepare_gguf(file, cache, LIMIT).path.read_bytes() == whole

    os.utime(file, ns=(1, 1))
    assert prepare_gguf(file, cache, LIMIT).path != first.path


def test_a_conversion_over_the_limit_is_not_kept(file: Path, cache: Path) -> None:
    with pytest.raises(ModelTooLargeError):
        prepare_gguf(file, cache, 1000)

    assert list((cache / "gguf").glob("*.gguf")) == list((cache / "gguf").glob("*.new")) == []


def test_a_file_that_is_not_gguf_is_an_error(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no")

    with pytest.raises(SourceError, match=r"no\.gguf cannot be read"):
        prepare_gguf(tmp_path / "no.gguf", cache, LIMIT)
