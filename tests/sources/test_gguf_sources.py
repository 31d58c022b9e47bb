"""GGUF files as they are shared: one of many in a repository, or a file on the node; what is made of it is kept."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deployments.sources import hub as hub_module
from deployments.sources.acquire import acquire
from deployments.sources.checkpoint import Checkpoint
from deployments.sources.errors import NoSourceError, SourceError
from deployments.sources.gguf import find_gguf
from deployments.sources.gguf_choice import choose_gguf
from deployments.sources.gguf_q8 import prepare_gguf
from deployments.sources.gguf_writing import NotConvertibleError
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import COMMIT, FakeHub, RecordingEvents

LIMIT = 1_000_000_000
NAMES = [
    "README.md",
    "m-Q4_K_M.gguf",
    "m-Q8_0.gguf",
    "big/m-Q5_0-00001-of-00002.gguf",
    "big/m-Q5_0-00002-of-00002.gguf",
]
CUT = ["m-Q2-00001-of-00003.gguf", "m-Q3-00001-of-99999.gguf", "m-Q3-00001-of-00000.gguf"]


@pytest.mark.parametrize("wanted", ["m-Q8_0.gguf", "*Q8_0*", "*[Q]8*.gguf"])
def test_a_name_or_a_pattern_that_matches_one_file_chooses_it(wanted: str) -> None:
    assert choose_gguf(NAMES, wanted) == ("m-Q8_0.gguf",)


@pytest.mark.parametrize("wanted", ["*Q5_0*", "big/m-Q5_0-00001-of-00002.gguf", "*-00002-of-*", "big/*"])
def test_a_name_or_a_pattern_of_one_part_chooses_all_parts_in_order(wanted: str) -> None:
    assert choose_gguf(reversed(NAMES), wanted) == tuple(NAMES[-2:])


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (
            "*Q3*",
            "is no GGUF file of the repository .it has big/m-Q5_0-00001-of-00002.gguf, .*m-Q4_K_M.gguf, m-Q8_0.gguf",
        ),
        ("README.md", "is no GGUF file"),
        ("m-*", "matches 2 models .accepted: one of m-Q4_K_M.gguf, m-Q8_0.gguf"),
        ("*00001-of-00003*", "the model m-Q2 is in 3 parts and lacks 2, 3 .accepted: all of 1 to 3"),
        ("*of-99999*", "in 99999 parts and lacks .*at most 1000"),
        ("*of-00000*", "in 0 parts and lacks all"),
    ],
)
def test_a_pattern_that_does_not_choose_one_file_is_refused_with_the_candidates(wanted: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        choose_gguf([*NAMES, *(CUT if "of-" in wanted else ())], wanted)


def test_the_candidates_that_are_named_are_bounded() -> None:
    with pytest.raises(SourceError) as raised:
        choose_gguf([f"{number:03}.gguf" for number in range(500)], "*")

    assert len(raised.value.reason) < 500


@pytest.fixture
def gguf_hub(hub: FakeHub) -> FakeHub:
    """The hub, whose repository has GGUF files only."""
    for file in hub.folder.iterdir():
        file.unlink()
    tiny.gguf(hub.folder / "tiny-Q4_1.gguf")
    (hub.folder / "tiny-Q8_0.gguf").write_bytes(b"not wanted")
    return hub


def test_only_the_file_that_is_meant_is_downloaded_and_found_again_without_the_hub(
    gguf_hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    wanted = spec({**HUB, "file": "*Q4_1*"}, snapshot=False)

    found = find_gguf(wanted, cache, events=recorded)

    assert isinstance(found, Checkpoint), found
    assert gguf_hub.downloads() == ["tiny-Q4_1.gguf"] * len(gguf_hub.downloads())
    assert (found.gguf, found.revision, found.license) == ("tiny-Q4_1.gguf", COMMIT, "apache-2.0")
    gguf_hub.requests.clear()
    again = find_gguf(wanted, cache, events=recorded)
    assert isinstance(again, Checkpoint)
    assert again.folder == found.folder
    assert gguf_hub.requests == []


def test_a_repository_that_has_gguf_files_only_says_so(gguf_hub: FakeHub, cache: Path) -> None:
    with pytest.raises(NoSourceError, match=r"name one with `file`: tiny-Q4_1.gguf, tiny-Q8_0.gguf"):
        acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    assert gguf_hub.downloads() == []


def test_a_gguf_file_over_the_limit_is_not_downloaded(gguf_hub: FakeHub) -> None:
    gguf_hub.announced["tiny-Q4_1.gguf"] = LIMIT + 1
    source = spec({**HUB, "file": "tiny-Q4_1.gguf"}).sources[0]

    with pytest.raises(SourceError, match="over the limit"):
        hub_module.look_up(source, LIMIT, 5.0)  # type: ignore[arg-type]  # it is a hub's
    assert gguf_hub.downloads() == []


def test_a_path_may_name_the_file_itself(tmp_path: Path, cache: Path, recorded: RecordingEvents) -> None:
    tiny.gguf(tmp_path / "one.gguf")
    tiny.gguf(tmp_path / "two.gguf")

    found = find_gguf(spec({"kind": "path", "path": str(tmp_path / "two.gguf")}), cache, events=recorded)

    assert isinstance(found, Checkpoint)
    assert found.gguf == "two.gguf"
    with pytest.raises(NoSourceError, match=r"name one of one.gguf, two.gguf"):
        acquire(spec({"kind": "path", "path": str(tmp_path)}), cache, "auto", events=recorded)
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(NoSourceError, match="it is no GGUF file"):
        acquire(spec({"kind": "path", "path": str(tmp_path / "notes.txt")}), cache, "auto", events=recorded)


def test_what_was_made_of_a_gguf_file_is_kept_until_the_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny.gguf(tmp_path / "tiny.gguf")
    wanted = spec({"kind": "path", "path": str(file)})
    loads: list[Checkpoint] = []
    module = import_module("deployments.sources.acquire")
    load = module.load_checkpoint

    def counted(checkpoint: Checkpoint, *given: Any, **more: Any) -> Any:
        loads.append(checkpoint)
        return load(checkpoint, *given, **more)

    monkeypatch.setattr(module, "load_checkpoint", counted)

    first = acquire(wanted, cache, "auto", events=RecordingEvents())
    second = acquire(wanted, cache, "auto", events=RecordingEvents())
    assert len(loads) == 1, "it was de-quantised once"
    assert second.snapshot
    assert tiny.greedy(first) == tiny.greedy(second)

    os.utime(file, ns=(1, 1))
    acquire(wanted, cache, "auto", events=RecordingEvents())
    acquire(wanted, cache, "auto", events=RecordingEvents())
    assert len(loads) == 2


def test_a_gguf_file_of_an_architecture_that_is_not_read_is_refused_at_once_and_nothing_is_made_of_it(
    tmp_path: Path,
) -> None:
    file = tiny.gguf(tmp_path / "tiny.gguf", "gemma3")

    for _ in range(2):
        with pytest.raises(NotConvertibleError, match="GGUF files of gemma3 are not read"):
            prepare_gguf(file, tmp_path, LIMIT)

    assert not list((tmp_path / "gguf").glob("*.gguf"))
