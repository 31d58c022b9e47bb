"""A model in several GGUF files is merged into one, once, and is then what it was as one file."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from deployments.sources import NoSourceError, acquire, gguf_parts
from deployments.sources import hub as hub_module
from deployments.sources.checkpoint import Checkpoint
from deployments.sources.errors import SourceError
from deployments.sources.gguf import find_gguf
from deployments.sources.gguf_parts import merged
from deployments.sources.path import find
from deployments.sources.sizes import size_of_gguf
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents

LIMIT = 1_000_000_000
COUNT = 6
FIRST = "tiny-00001-of-00006.gguf"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with the tiny model in parts of two tensors each."""
    folder = tmp_path / "parts"
    folder.mkdir()
    tiny.gguf(folder / "tiny.gguf", tensors_a_part=2)
    assert len(list(folder.iterdir())) == COUNT
    return folder


def path_source(path: Path) -> Any:
    return spec({"kind": "path", "path": str(path)}).sources[0]


def contents(file: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Its metadata and its tensors."""
    reader = GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return fields, {tensor.name: tensor.data.tobytes() for tensor in reader.tensors}


@pytest.mark.parametrize("named", ["", FIRST, "tiny-00002-of-00006.gguf"])
def test_the_parts_are_merged_into_what_they_are_parts_of(
    named: str, parts: Path, tmp_path: Path, cache: Path, recorded: RecordingEvents
) -> None:
    found = find_gguf(spec({"kind": "path", "path": str(parts / named)}), cache, events=recorded)

    assert isinstance(found, Checkpoint), found
    assert contents(found.folder / str(found.gguf)) == contents(tiny.gguf(tmp_path / "tiny.gguf"))
    assert found.folder == cache / "gguf"


def test_transformers_writes_with_the_parts_as_with_the_whole(parts: Path, tmp_path: Path, cache: Path) -> None:
    whole = tiny.gguf(tmp_path / "tiny.gguf")

    def written(path: Path) -> list[int]:
        return tiny.greedy(acquire(spec({"kind": "path", "path": str(path)}), cache, "auto", events=RecordingEvents()))

    assert written(parts / FIRST) == written(whole)


def test_they_are_merged_once_until_they_change_and_what_is_damaged_is_made_again(
    parts: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[Path] = []
    write = gguf_parts._write

    def counted(files: Any, target: Path) -> None:
        writes.append(target)
        write(files, target)

    monkeypatch.setattr(gguf_parts, "_write", counted)

    def file() -> Path:
        found = merged(find(path_source(parts), LIMIT), cache)
        return found.folder / str(found.gguf)

    first = file()
    assert file() == first
    assert len(writes) == 1
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    assert file() == first
    first.with_suffix(".json").unlink()
    assert file() == first
    assert len(writes) == 3
    (parts / FIRST).touch()
    assert file() != first
    assert [each.name for each in (cache / "gguf").glob("*.gguf")] == [file().name], "the old one is gone"
    assert len(writes) == 4


def test_a_merge_that_fails_leaves_nothing(parts: Path, cache: Path) -> None:
    damaged = parts / "tiny-00003-of-00006.gguf"
    damaged.write_bytes(damaged.read_bytes()[:40])

    with pytest.raises(SourceError, match=r"tiny-00003-of-00006.gguf cannot be read"):
        merged(find(path_source(parts), LIMIT), cache)
    assert [each.suffix for each in (cache / "gguf").iterdir()] == [".lock"]


def test_a_part_that_is_another_one_than_its_name_says_is_refused(parts: Path, cache: Path) -> None:
    shutil.copy(parts / "tiny-00002-of-00006.gguf", parts / "tiny-00003-of-00006.gguf")

    with pytest.raises(SourceError, match=r"tiny-00003-of-00006.gguf says that it is part 1 of 6, counted from 0"):
        merged(find(path_source(parts), LIMIT), cache)


def test_parts_of_which_one_is_missing_are_refused_by_its_number(parts: Path, cache: Path) -> None:
    (parts / "tiny-00004-of-00006.gguf").unlink()

    with pytest.raises(NoSourceError, match="the model tiny is in 6 parts and lacks 4"):
        acquire(spec({"kind": "path", "path": str(parts)}), cache, "auto", events=RecordingEvents())


def test_all_parts_count_towards_the_limit_and_none_is_merged_to_tell_the_size(parts: Path, cache: Path) -> None:
    total = sum(file.stat().st_size for file in parts.iterdir())

    with pytest.raises(SourceError, match="over the limit"):
        find(path_source(parts), total - 1)
    told = size_of_gguf(spec({"kind": "path", "path": str(parts)}), cache)
    assert told is not None
    assert told.size == total
    assert not cache.exists()


@pytest.mark.parametrize("file", ["*tiny*", FIRST])
def test_all_parts_of_a_hubs_model_are_downloaded_and_found_again_without_the_hub(
    file: str, hub: FakeHub, tmp_path: Path, cache: Path, recorded: RecordingEvents
) -> None:
    for each in hub.folder.iterdir():
        each.unlink()
    tiny.gguf(hub.folder / "tiny.gguf", tensors_a_part=2)
    (hub.folder / "other-Q8_0.gguf").write_bytes(b"not wanted")
    wanted = spec({**HUB, "file": file}, snapshot=False)

    found = find_gguf(wanted, cache, events=recorded)

    assert isinstance(found, Checkpoint), found
    assert len(set(hub.downloads())) == COUNT
    assert contents(found.folder / str(found.gguf)) == contents(tiny.gguf(tmp_path / "tiny.gguf"))
    hub.requests.clear()
    again = find_gguf(wanted, cache, events=recorded)
    assert isinstance(again, Checkpoint)
    assert (again.folder, again.gguf) == (found.folder, found.gguf)
    assert hub.requests == []


def test_a_hubs_model_in_parts_over_the_limit_is_not_downloaded(hub: FakeHub) -> None:
    tiny.gguf(hub.folder / "tiny.gguf", tensors_a_part=2)
    hub.announced["tiny-00006-of-00006.gguf"] = LIMIT

    with pytest.raises(SourceError, match="over the limit"):
        hub_module.look_up(spec({**HUB, "file": FIRST}).sources[0], LIMIT, 5.0)  # type: ignore[arg-type]  # a hub's
    assert hub.downloads() == []
