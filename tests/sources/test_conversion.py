"""Safetensors are converted for the fast engine of CPUs once, and only what agrees with transformers is kept."""

import subprocess
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from deployments.generation import Prompt, Sampling
from deployments.generation.openvino import OpenVINOGenerator
from deployments.sources import conversion, converted, failures, locks
from deployments.sources.conversion import Unconverted, convert_weights
from deployments.sources.converted import Converted
from deployments.sources.errors import ExportError
from deployments.sources.gguf_writing import NotConvertibleError, require_convertible
from deployments.sources.housekeeping import prune_snapshots
from deployments.sources.openvino_ir import digests_of
from tests.formats import causal
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents


def path_spec(folder: Path) -> Any:
    return spec({"kind": "path", "path": str(folder)})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The conversions from now on, which write a fake file instead of calling OpenVINO, and agree to `runs[0]`."""
    runs = ["1.0"]

    def run(_: str, file: str, __: str) -> str:
        Path(file).with_name("openvino_model.bin").write_bytes(b"weights")
        runs.append(file)
        return runs[0]

    monkeypatch.setattr(converted, "run_child", run)
    return runs


async def test_a_qwen2_of_safetensors_is_written_by_the_fast_engine_as_by_transformers(
    tmp_path: Path, cache: Path, recorded: RecordingEvents
) -> None:
    folder = causal.qwen2(tmp_path / "qwen2")

    made = convert_weights(path_spec(folder), cache, events=recorded)

    assert isinstance(made, Converted), made
    engine = OpenVINOGenerator(made.path, context=made.context, capacity=1, threads=1)
    written = await engine.generate(Prompt("Hello, is it raining?"), Sampling(12, 0.0, 60.0))
    expected = causal.direct(folder, "Hello, is it raining?", 12)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(written.text, expected, strict=False)))
    assert same >= 3, (written.text, expected)
    assert made.context == 256
    assert not list(made.path.glob("*.gguf")), "what it was made by is not left"


def test_a_conversion_is_made_once_and_then_read_without_transformers(
    made: Path, cache: Path, recorded: RecordingEvents, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = convert_weights(path_spec(made), cache, events=recorded)
    monkeypatch.setattr(conversion, "acquire", lambda *_, **__: pytest.fail("the weights are loaded again"))
    again = convert_weights(path_spec(made), cache, events=recorded)

    assert first == again
    assert len(runs) == 2
    assert [name for name in recorded.names() if name != "source_loaded"] == [
        "conversion_begun",
        "snapshot_built",
        "snapshot_loaded",
    ]


def test_a_conversion_of_what_a_hub_gave_is_used_when_the_hub_is_gone(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, runs: list[str]
) -> None:
    first = convert_weights(spec(HUB), cache, events=recorded)
    hub.requests.clear()

    assert convert_weights(spec(HUB), cache, events=recorded) == first
    assert hub.requests == []
    assert isinstance(first, Converted)
    assert first.path.parent == cache / "snapshots"


@pytest.mark.parametrize("trouble", ["damaged", "a file too many", "another version", "other weights"])
def test_a_conversion_that_is_not_what_it_was_is_made_again(
    trouble: str, tmp_path: Path, cache: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.folder(tmp_path / "tiny")
    events = RecordingEvents()
    first = convert_weights(path_spec(folder), cache, events=events)
    assert isinstance(first, Converted)
    match trouble:
        case "damaged":
            (first.path / "openvino_model.bin").write_bytes(b"Weights")
        case "a file too many":
            (first.path / "more.bin").write_bytes(b"")
        case "another version":
            monkeypatch.setattr(converted, "installed_version", lambda: "0")
        case _:
            tiny.folder(folder, seed=2)

    again = convert_weights(path_spec(folder), cache, events=events)

    assert isinstance(again, Converted)
    assert len(runs) == 3
    assert ("snapshot_set_aside" in events.names()) == (trouble in {"damaged", "a file too many"})
    assert [file.name for file in (cache / "snapshots").glob("*.openvino")] == [again.path.name], "the old one is gone"


@pytest.mark.parametrize("correlation", ["0.9", "nan", "no number"])
def test_what_does_not_agree_with_transformers_is_not_kept_and_the_loaded_model_is_handed_on(
    correlation: str, made: Path, cache: Path, recorded: RecordingEvents, runs: list[str]
) -> None:
    runs[0] = correlation

    outcome = convert_weights(path_spec(made), cache, events=recorded)

    assert isinstance(outcome, Unconverted)
    assert "agree" in outcome.reason or "compared" in outcome.reason
    assert outcome.loaded.model.config.model_type == "llama"
    assert not list((cache / "snapshots").glob("*.openvino*/*"))


def test_openvino_that_fails_leaves_the_model_to_transformers(
    made: Path, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: str) -> str:
        raise ExportError("OpenVINO cannot write it: no room")

    monkeypatch.setattr(converted, "run_child", fail)

    outcome = convert_weights(path_spec(made), cache, events=recorded)

    assert isinstance(outcome, Unconverted)
    assert outcome.reason == "OpenVINO cannot write it: no room"


@pytest.mark.parametrize("fault", [ExportError("OpenVINO cannot write it: no room"), ZeroDivisionError("odd weights")])
def test_a_conversion_that_has_failed_is_not_tried_at_every_start(
    fault: Exception, tmp_path: Path, cache: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fails = tiny.folder(tmp_path / "tiny"), [True]
    write: Callable[..., str] = vars(converted)["run_child"]

    def run(*arguments: str) -> str:
        done = write(*arguments)
        if fails[0]:
            raise fault
        return done

    def convert(**options: Any) -> Any:
        return convert_weights(path_spec(folder), cache, events=RecordingEvents(), **options)

    monkeypatch.setattr(converted, "run_child", run)
    first, second = convert(), convert()
    assert str(fault).partition(":")[0] in first.reason
    assert second.reason.startswith(first.reason.removeprefix("it cannot be converted: "))
    assert "`neverblank pull` tries it again" in second.reason
    assert len(runs) == 2

    tiny.folder(folder, seed=2)
    convert()
    assert len(runs) == 3, "other weights are tried"
    monkeypatch.setattr(failures, "version", lambda _: "another")
    convert()
    assert len(runs) == 4, "another version is tried"
    fails[0] = False
    assert isinstance(convert(), Unconverted)
    assert isinstance(convert(again=True), Converted)
    assert isinstance(convert(), Converted)
    assert len(runs) == 5


def test_a_disk_that_is_full_is_no_failure_of_the_conversion(
    made: Path, cache: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> dict[str, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converted, "digests_of", full)
    first = convert_weights(path_spec(made), cache, events=RecordingEvents())
    monkeypatch.setattr(converted, "digests_of", digests_of)

    assert isinstance(first, Unconverted)
    assert isinstance(convert_weights(path_spec(made), cache, events=RecordingEvents()), Converted)


@pytest.mark.parametrize("ends", [subprocess.CompletedProcess([], -9, "", ""), subprocess.TimeoutExpired("", 600)])
def test_a_conversion_that_was_killed_or_took_too_long_is_tried_again(
    made: Path, cache: Path, ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        asked.append(1)
        if isinstance(ends, Exception):
            raise ends
        return ends

    asked: list[int] = []
    monkeypatch.setattr("deployments.sources.openvino_child.subprocess.run", run)
    for _ in range(2):
        assert isinstance(convert_weights(path_spec(made), cache, events=RecordingEvents()), Unconverted)

    assert len(asked) == 2


def test_a_process_that_holds_the_lock_and_does_nothing_is_not_waited_for_without_end(
    made: Path, cache: Path, recorded: RecordingEvents, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = convert_weights(path_spec(made), cache, events=recorded)
    assert isinstance(first, Converted)
    (first.path / "openvino_model.bin").unlink()
    monkeypatch.setattr(locks, "LOCK_WAIT_S", 0.05)

    with locks.node_lock(first.path.with_name(f"{first.path.name}.lock")):
        waited = convert_weights(path_spec(made), cache, events=recorded)

    assert isinstance(waited, Unconverted)
    assert "another process has been at it for 0.05 s" in waited.reason
    assert "waiting_for_builder" in recorded.names()


def test_a_path_that_is_not_there_hides_no_conversion_behind_it(
    hub: FakeHub, tmp_path: Path, cache: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = convert_weights(spec(HUB), cache, events=RecordingEvents())
    monkeypatch.setattr(conversion, "acquire", lambda *_, **__: pytest.fail("the weights are loaded again"))
    missing = {"kind": "path", "path": str(tmp_path / "missing")}

    assert convert_weights(spec(missing, HUB), cache, events=RecordingEvents()) == first


def test_a_conversion_over_the_limit_is_not_kept(
    made: Path, cache: Path, recorded: RecordingEvents, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converted.Conversions, "convert", _with_limit(converted.Conversions.convert, 10))

    outcome = convert_weights(path_spec(made), cache, events=recorded)

    assert isinstance(outcome, Unconverted)
    assert "over the limit of 10" in outcome.reason
    assert len(runs) == 1


def _with_limit(convert: Any, limit: int) -> Any:
    return lambda self, source, loaded, _, **options: convert(self, source, loaded, limit, **options)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model_type": "gemma3_text"}, "models of type gemma3_text are not read"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, "rope_parameters is not read"),
        ({"attention_bias": True}, "attention_bias is not read"),
        ({"sliding_window": 32}, "sliding_window is not read"),
    ],
)
def test_a_model_that_the_engine_does_not_read_is_refused_by_name(changed: dict[str, Any], reason: str) -> None:
    config = tiny.model().config
    for name, value in changed.items():
        object.__setattr__(config, name, value)

    with pytest.raises(NotConvertibleError, match=reason):
        require_convertible(config)


def test_nothing_is_converted_where_nothing_may_be_kept(made: Path, cache: Path, recorded: RecordingEvents) -> None:
    kept_nowhere = spec({"kind": "path", "path": str(made)}, snapshot=False)

    with pytest.raises(NotConvertibleError, match="snapshot: false"):
        convert_weights(kept_nowhere, cache, events=recorded)


def test_conversions_that_no_model_needs_are_pruned(
    made: Path, cache: Path, recorded: RecordingEvents, runs: list[str]
) -> None:
    kept = convert_weights(path_spec(made), cache, events=recorded)
    assert isinstance(kept, Converted)

    assert not list(prune_snapshots(cache, lambda _: False))
    assert list(prune_snapshots(cache, lambda _: True, dry_run=True)) == [kept.path.name]
    assert kept.path.exists()
    failures.note_failure(kept.path, "", "no room")
    assert set(prune_snapshots(cache, lambda _: True)) == {kept.path.name, f"{kept.path.name}.failed"}
    assert not list((cache / "snapshots").glob("*.openvino*[!k]"))
