"""Nodes share their snapshots: one that has no hub gets them from a store, verified as ever."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from deployments.sources import acquire
from deployments.sources.errors import NoSourceError
from deployments.sources.shared_store import STORE_VARIABLE, SharedStore, StoreError
from tests.sources.conftest import HUB, spec, use_hub
from tests.sources.fakes import FakeHub, RecordingEvents

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a store."""
    url = str(tmp_path / "shared") if request.param == "folder" else f"memory://shared-{uuid4().hex}"
    monkeypatch.setenv(STORE_VARIABLE, url)
    return url


@pytest.fixture
def nodes(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> tuple[Path, Path]:
    """The caches of two nodes: the first has loaded the model from a hub, and then there is no hub any more."""
    first, second = tmp_path / "first", tmp_path / "second"
    acquire(spec(HUB), first, "auto", events=RecordingEvents())
    (tmp_path / "other").mkdir()
    use_hub(NOBODY, tmp_path / "other", monkeypatch)  # with a cache of its own, in which nothing is
    return first, second


def test_a_node_without_a_hub_gets_the_snapshot_that_another_one_has_built(nodes: tuple[Path, Path]) -> None:
    first, second = nodes

    loaded = acquire(spec(HUB), second, "auto", events=RecordingEvents())

    assert loaded.model.lm_head.weight.numel()
    files = [sorted(file.name for file in (node / "snapshots").iterdir() if "lock" not in file.name) for node in nodes]
    assert files[0] == files[1]
    (pkl,) = (first / "snapshots").glob("*.pkl")
    assert pkl.read_bytes() == (second / "snapshots" / pkl.name).read_bytes()


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_without_a_store_that_node_has_no_source(nodes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORE_VARIABLE)

    with pytest.raises(NoSourceError):
        acquire(spec(HUB), nodes[1], "auto", events=RecordingEvents())


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_what_is_damaged_in_the_store_is_not_loaded(nodes: tuple[Path, Path], store: str) -> None:
    (pkl,) = Path(store).glob("*.pkl")
    content = bytearray(pkl.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pkl.write_bytes(content)

    with pytest.raises(NoSourceError):
        acquire(spec(HUB), nodes[1], "auto", events=RecordingEvents())
    assert not list((nodes[1] / "snapshots").glob("*.pkl"))


def test_what_is_damaged_in_the_store_is_replaced_by_the_next_node_that_has_it(
    nodes: tuple[Path, Path], store: str
) -> None:
    (pkl,) = (nodes[0] / "snapshots").glob("*.pkl")
    files, root = fsspec.url_to_fs(store)
    (remote,) = (name for name in files.ls(root, detail=False) if name.endswith(".pkl"))
    files.pipe_file(remote, bytes(pkl.stat().st_size))

    SharedStore(store).publish(pkl.stem, pkl, pkl.with_suffix(".json"))

    assert files.cat_file(remote) == pkl.read_bytes()
    acquire(spec(HUB), nodes[1], "auto", events=RecordingEvents())


@pytest.mark.parametrize("writing", ["put_file", "pipe_file"])
@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_file_that_is_half_written_into_a_folder_has_not_its_name_yet(
    nodes: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: str
) -> None:
    (pkl,) = (nodes[0] / "snapshots").glob("*.pkl")
    folder = tmp_path / "another"
    seen: list[str] = []

    def break_off(_: Any, *given: Any, **__: Any) -> None:
        half = next(each for each in given if str(each).startswith(str(folder)))
        Path(half).write_bytes(b"half of it")
        seen.extend(file.suffix for file in folder.iterdir())
        raise OSError("no space left")

    monkeypatch.setattr(LocalFileSystem, writing, break_off)
    with pytest.raises(StoreError, match="no space left"):
        SharedStore(str(folder)).publish(pkl.stem, pkl, pkl.with_suffix(".json"))

    assert ".new" in seen
    assert ".json" not in seen
    assert [file.suffix for file in folder.iterdir()] == ([".pkl"] if writing == "pipe_file" else [])


def test_a_store_that_cannot_be_used_costs_a_line_and_not_the_model(
    hub: FakeHub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "file" / "store"))
    events = RecordingEvents()

    loaded = acquire(spec(HUB), cache, "auto", events=events)

    assert loaded.model.lm_head.weight.numel()
    assert "the shared snapshots" in str(events.seen)
