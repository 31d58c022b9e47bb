"""GGUF files in a form that OpenVINO reads faithfully."""

import os
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, quants

from deployments.sources.errors import ModelTooLargeError, SourceError
from deployments.sources.gguf_q8 import FAITHFUL, make_readable
from tests.sources import tiny

LIMIT = 10_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The tiny model, its matrices in Q4_1."""
    return tiny.gguf(tmp_path / "tiny.gguf")


def values(file: Path) -> dict[str, np.ndarray]:
    reader = GGUFReader(file)
    return {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}


def test_what_is_not_read_faithfully_is_converted_with_all_that_is_known_of_the_model(file: Path, cache: Path) -> None:
    readable = make_readable(file, cache, LIMIT)

    before, after = GGUFReader(file), GGUFReader(readable.file)
    assert readable.context == 128
    assert {tensor.tensor_type.name for tensor in after.tensors} <= FAITHFUL
    skipped = {"general.file_type"}
    told = {name: field.contents() for name, field in before.fields.items() if not name.startswith("GGUF.")}
    assert {name: after.fields[name].contents() for name in told.keys() - skipped} == told
    for name, value in values(readable.file).items():
        np.testing.assert_allclose(value, values(file)[name], atol=0.02)


def test_it_is_converted_once(file: Path, cache: Path) -> None:
    first = make_readable(file, cache, LIMIT)
    made = first.file.stat().st_mtime_ns

    assert make_readable(file, cache, LIMIT) == first
    assert first.file.stat().st_mtime_ns == made


def test_a_file_in_a_faithful_form_is_used_as_it_is(file: Path, cache: Path) -> None:
    converted = make_readable(file, cache, LIMIT).file

    assert make_readable(converted, cache, LIMIT).file == converted


def test_a_conversion_that_was_damaged_and_one_of_a_file_that_has_changed_are_made_again(
    file: Path, cache: Path
) -> None:
    first = make_readable(file, cache, LIMIT)
    whole = first.file.read_bytes()
    first.file.write_bytes(whole[:-1] + b"x")
    assert make_readable(file, cache, LIMIT).file.read_bytes() == whole

    os.utime(file, ns=(1, 1))
    assert make_readable(file, cache, LIMIT).file != first.file


def test_a_conversion_over_the_limit_is_not_kept(file: Path, cache: Path) -> None:
    with pytest.raises(ModelTooLargeError):
        make_readable(file, cache, 1000)

    assert list((cache / "gguf").glob("*.gguf")) == list((cache / "gguf").glob("*.new")) == []


def test_a_file_that_is_none_is_an_error(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no")

    with pytest.raises(SourceError, match=r"no\.gguf cannot be read"):
        make_readable(tmp_path / "no.gguf", cache, LIMIT)
