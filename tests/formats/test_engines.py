"""Which engine writes for a model: a decision, and a fall back that is told."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from deployments.formats import engines
from deployments.formats.engines import choose_engine, load_engine
from deployments.generation import CannotLoadError
from deployments.generation.prompt_lookup import PromptLookup
from deployments.generation.worker import EngineConfig
from deployments.settings import SettingsError, TextModelSpec, parse
from deployments.sources.errors import ExportError
from deployments.sources.gguf import NoGguf, find_gguf
from tests.sources import tiny
from tests.sources.fakes import RecordingEvents


@pytest.mark.parametrize(
    ("wanted", "device", "has_openvino", "gpu", "engine"),
    [
        ("auto", "auto", True, False, "openvino"),
        ("auto", "cpu", True, True, "openvino"),
        ("auto", "auto", True, True, "transformers"),
        ("auto", "cuda", True, False, "transformers"),
        ("auto", "auto", False, False, "transformers"),
        ("transformers", "cpu", True, False, "transformers"),
        ("openvino", "cpu", False, False, "openvino"),
    ],
)
def test_a_cpu_writes_with_openvino_where_it_is_installed(
    *,
    wanted: str,
    device: str,
    has_openvino: bool,
    gpu: bool,
    engine: str,
) -> None:
    assert choose_engine(wanted, device, has_openvino=has_openvino, gpu=gpu) == engine


def test_openvino_on_anything_but_a_cpu_is_refused() -> None:
    with pytest.raises(SettingsError, match="engine: openvino does not go with device: auto"):
        spec_of(Path("x"), engine="openvino", device="auto")


def test_prompt_lookup_in_transformers_is_refused() -> None:
    with pytest.raises(SettingsError, match="prompt_lookup_tokens does not go with engine: transformers"):
        spec_of(Path("x"), engine="transformers", speculation={"prompt_lookup_tokens": 5})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny model as a GGUF file."""
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    (tmp_path / "gguf").mkdir()
    tiny.gguf(tmp_path / "gguf" / "tiny.gguf")
    return tmp_path / "gguf"


def spec_of(folder: Path, **settings: Any) -> TextModelSpec:
    sources = [{"kind": "path", "path": str(folder)}]
    return parse(TextModelSpec, {"sources": sources, "device": "cpu", **settings}, "test")


def test_a_gguf_file_is_found_and_safetensors_are_not_one(folder: Path, tmp_path: Path) -> None:
    tiny.folder(tmp_path / "safetensors")

    found = find_gguf(spec_of(folder), tmp_path, events=RecordingEvents())
    other = find_gguf(spec_of(tmp_path / "safetensors"), tmp_path, events=RecordingEvents())

    assert not isinstance(found, NoGguf)
    assert found.gguf == "tiny.gguf"
    assert isinstance(other, NoGguf)
    assert "safetensors" in other.reason


def test_what_openvino_cannot_read_is_left_to_transformers_and_told(
    folder: Path, tmp_path: Path, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CannotLoadError("unknown architecture")

    monkeypatch.setattr(engines, "_openvino", refuse)

    engine = load_engine(spec_of(folder), tmp_path, "m")

    assert engine.generator.describe()["engine"] == "transformers"
    (told,) = [event for event in events if event["event"] == "engine_not_used"]
    assert (told["model"], told["reason"]) == ("m", "unknown architecture")


def test_where_transformers_serves_after_all_it_is_told_that_it_has_no_prompt_lookup(
    folder: Path, tmp_path: Path, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CannotLoadError("unknown architecture")

    monkeypatch.setattr(engines, "_openvino", refuse)

    load_engine(spec_of(folder, speculation={"prompt_lookup_tokens": 5}), tmp_path, "m")

    told = [event["engine"] for event in events if event["event"] == "engine_not_used"]
    assert told == ["openvino", "prompt lookup"]


class Started:
    """Stands for an engine in a process of its own, and keeps what it was started with."""

    configs: ClassVar[list[EngineConfig]] = []

    def __init__(self, name: str, config: EngineConfig) -> None:
        self.configs.append(config)


def test_where_openvinos_own_form_cannot_be_made_the_gguf_file_is_read_and_that_is_told(
    folder: Path, tmp_path: Path, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ExportError("no room on the disk")

    monkeypatch.setattr(engines, "export_ir", refuse)
    monkeypatch.setattr(engines, "ProcessGenerator", Started)
    Started.configs.clear()

    load_engine(spec_of(folder, engine="openvino"), tmp_path, "m")

    (config,) = Started.configs
    assert Path(config.arguments["file"]).suffix == ".gguf"
    told = [(event["model"], event["reason"]) for event in events if event["event"] == "not_exported"]
    assert told == [("m", "no room on the disk")]


def test_the_engine_is_told_how_many_tokens_to_guess(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ProcessGenerator", Started)
    Started.configs.clear()

    load_engine(spec_of(folder, engine="openvino", speculation={"prompt_lookup_tokens": 4}), tmp_path, "m")

    (config,) = Started.configs
    assert config.arguments["lookup"] == PromptLookup(4)
