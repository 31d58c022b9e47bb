"""A snapshot appears whole or not at all, is built by one process, and is mapped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.sources import acquire, serialization, snapshots
from deployments.sources.errors import SnapshotNotKeptError
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents

NAME = "tiny@main"


def _mapped(pkl: Path) -> list[tuple[int, int]]:
    """The address ranges of this process that are mapped from `pkl`."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ranges = [line.split()[0].split("-") for line in lines if line.endswith(str(pkl))]
    return [(int(start, 16), int(end, 16)) for start, end in ranges]


def test_weights_are_mapped_from_the_file_which_has_tied_ones_once(hub: FakeHub, cache: Path) -> None:
    pkl = cache / "snapshots" / f"{NAME}.pkl"
    for _ in range(2):
        loaded = acquire(spec(HUB), cache, "auto", events=RecordingEvents())
        ranges = _mapped(pkl)
        for parameter in loaded.model.parameters():
            assert any(start <= parameter.data_ptr() < end for start, end in ranges)
        assert loaded.model.lm_head.weight.data_ptr() == loaded.model.model.embed_tokens.weight.data_ptr()
    state = torch.load(pkl, weights_only=True)["state_dict"]
    assert state["lm_head.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()
    manifest = json.loads((cache / "snapshots" / f"{NAME}.json").read_text(encoding="utf-8"))
    assert manifest["weight_bytes"] == sum(parameter.nbytes for parameter in tiny.model().parameters())


def test_the_manifest_says_what_the_snapshot_is_and_where_it_came_from(hub: FakeHub, cache: Path) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    manifest = json.loads((cache / "snapshots" / f"{NAME}.json").read_text(encoding="utf-8"))
    assert manifest["size"] == (cache / "snapshots" / f"{NAME}.pkl").stat().st_size
    assert manifest["source"] == HUB | {"revision": "main", "file": ""}
    assert (manifest["license"], manifest["dtype"], manifest["torch"]) == (
        "apache-2.0",
        "float32",
        str(torch.__version__),
    )
    assert manifest["created"].endswith("Z")


def test_a_snapshot_does_not_contain_the_paths_it_was_made_in(hub: FakeHub, cache: Path, tmp_path: Path) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    for file in (cache / "snapshots").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_a_full_disk_costs_the_snapshot_and_not_the_model(hub: FakeHub, cache: Path, recorded: RecordingEvents) -> None:
    folder = cache / "snapshots"
    folder.mkdir(parents=True)
    (folder / f"{NAME}.pkl.new").symlink_to("/dev/full")  # every write to it fails with ENOSPC
    loaded = acquire(spec(HUB), cache, "bfloat16", events=recorded)
    assert recorded.names() == ["source_loaded", "snapshot_not_kept"]
    assert "No space left on device" in recorded.reasons()
    assert (loaded.snapshot, loaded.dtype) == ("", "bfloat16")
    assert tiny.greedy(loaded)
    assert [file.name for file in folder.iterdir()] == [f"{NAME}.lock"]


def test_a_cache_that_cannot_be_written_to_costs_the_snapshot_and_not_the_model(
    hub: FakeHub, tmp_path: Path, recorded: RecordingEvents
) -> None:
    (tmp_path / "file").touch()
    loaded = acquire(spec(HUB), tmp_path / "file" / "cache", "auto", events=recorded)
    assert recorded.names()[-2:] == ["snapshot_not_kept", "source_loaded"]
    assert tiny.greedy(loaded)


class _Died(BaseException):
    """Stands for the death of the process."""


def test_a_crash_between_the_pickle_and_its_manifest_leaves_a_snapshot_that_is_not_used(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def die(file: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise _Died
        return replace(file, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(_Died):
            acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    assert (cache / "snapshots" / f"{NAME}.pkl").exists()
    acquire(spec(HUB), cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]


def test_a_snapshot_whose_model_would_differ_is_not_kept(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serialization, "_tokenizer", lambda _: _Deaf())
    loaded = acquire(spec(HUB), cache, "auto", events=recorded)
    assert recorded.seen[-1] == ("snapshot_not_kept", NAME, "its tokenizer encodes differently")
    assert tiny.greedy(loaded)
    assert [file.name for file in (cache / "snapshots").iterdir()] == [f"{NAME}.lock"]


def test_quantised_weights_are_served_as_they_are_and_not_kept(made: Path, cache: Path) -> None:
    loaded = acquire(spec({"kind": "path", "path": str(made)}), cache, "auto", events=RecordingEvents())
    loaded.model.config.quantization_config = {"quant_method": "some"}
    with pytest.raises(SnapshotNotKeptError, match="quantised"):
        serialization.serialize(loaded)
    assert serialization.cast_weights(loaded, "bfloat16") is loaded


def test_weights_that_grow_over_the_limit_are_served_and_not_kept(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "weight_bytes", lambda _: 2_000_000)
    loaded = acquire(spec(HUB, max_model_size_mb=1), cache, "auto", events=recorded)
    assert recorded.names() == ["source_loaded", "snapshot_not_kept"]
    assert "over the limit" in recorded.reasons()
    assert tiny.greedy(loaded)


class _Deaf:
    """A tokenizer that encodes every text as nothing."""

    chat_template = tiny.TEMPLATE

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": []}


@contextmanager
def _builder(hub: FakeHub, cache: Path, library: Path) -> Iterator[Any]:
    """Another process that acquires the model; it writes its events to standard output."""
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(library), "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.sources.builder", str(cache)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def _until(process: Any, event: str) -> list[str]:
    """The events up to `event`."""
    seen = []
    for line in process.stdout:
        seen.append(line.strip())
        if seen[-1] == event:
            return seen
    raise AssertionError(f"{event} never came, only {seen}")


def test_of_two_processes_that_start_at_once_one_builds_and_the_other_waits(
    hub: FakeHub, cache: Path, tmp_path: Path
) -> None:
    hub.sending.clear()
    with _builder(hub, cache, tmp_path / "one") as one, _builder(hub, cache, tmp_path / "other") as other:
        lines = [one.stdout.readline().strip(), other.stdout.readline().strip()]
        assert lines == ["started", "started"]
        first = _first_waiting([one, other])
        hub.sending.set()
        builder = other if first is one else one
        assert _until(builder, "done") == ["source_loaded", "snapshot_built", "done"]
        assert _until(first, "done") == ["snapshot_loaded", "done"]
    assert sum(1 for path in hub.requests if path.startswith("GET") and path.endswith("model.safetensors")) == 1


def _first_waiting(processes: list[Any]) -> Any:
    """The process that says it waits; the builder says nothing while its download is held up."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process.stdout, selectors.EVENT_READ, process)
        (key, _), *others = selector.select(60)
    assert not others
    assert key.data.stdout.readline().strip() == "waiting_for_builder"
    return key.data


def test_a_builder_that_was_killed_blocks_nobody(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, tmp_path: Path
) -> None:
    hub.sending.clear()
    with _builder(hub, cache, tmp_path / "one") as one, _builder(hub, cache, tmp_path / "other") as other:
        waiting = _first_waiting_after_start(one, other)
        (other if waiting is one else one).kill()
        hub.sending.set()
        assert _until(waiting, "done") == ["source_loaded", "snapshot_built", "done"]
    acquire(spec(HUB), cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_loaded"]


def _first_waiting_after_start(one: Any, other: Any) -> Any:
    assert [one.stdout.readline().strip(), other.stdout.readline().strip()] == ["started", "started"]
    return _first_waiting([one, other])
