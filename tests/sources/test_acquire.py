"""The order of sources, and what happens when one fails."""

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.sources import NoSourceError, acquire
from deployments.sources import hub as hub_module
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import COMMIT, FakeHub, RecordingEvents

NOWHERE: dict[str, Any] = {"kind": "path", "path": "/nowhere/at/all"}


def test_a_first_start_loads_from_the_source_and_serves_from_the_snapshot_it_made(
    hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    loaded = acquire(spec(HUB), cache, "auto", events=recorded)
    assert recorded.names() == ["source_loaded", "snapshot_built"]
    assert loaded.snapshot == "tiny@main"
    assert (loaded.name, loaded.origin, loaded.revision, loaded.license, loaded.dtype) == (
        "some/tiny",
        "hub some/tiny@main",
        COMMIT,
        "apache-2.0",
        "float32",
    )


def test_a_second_start_uses_the_snapshot_and_touches_no_source(
    hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    first = acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    hub.requests.clear()
    second = acquire(spec(HUB), cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_loaded"]
    assert hub.requests == []
    assert (second.name, second.origin, second.revision, second.license) == (
        first.name,
        first.origin,
        first.revision,
        first.license,
    )


def test_sources_are_tried_in_the_order_of_the_spec_and_each_failure_is_reported(
    hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    missing = {"kind": "hub", "repo": "some/other"}
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    with pytest.raises(NoSourceError) as raised:
        acquire(spec(NOWHERE, HUB, missing), cache, "auto", events=recorded)
    assert [source for source, _ in raised.value.failures] == [
        "path /nowhere/at/all",
        "hub some/tiny@main",
        "hub some/other@main",
    ]
    assert [event[1:] for event in recorded.seen] == list(raised.value.failures)
    assert "no weights in safetensors" in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # noqa: S301 - our own


def test_after_a_source_that_fails_the_next_one_is_tried(hub: FakeHub, cache: Path, recorded: RecordingEvents) -> None:
    loaded = acquire(spec(NOWHERE, HUB), cache, "auto", events=recorded)
    assert loaded.name == "some/tiny"
    assert recorded.names() == ["source_failed", "source_loaded", "snapshot_built"]


def test_a_snapshot_of_a_later_source_is_used_before_an_earlier_source_is_asked(
    hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    hub.requests.clear()
    loaded = acquire(spec({"kind": "hub", "repo": "some/other"}, HUB), cache, "auto", events=recorded)
    assert (loaded.name, hub.requests) == ("some/tiny", [])


def test_a_folder_listed_before_a_source_is_used_before_that_sources_snapshot(
    hub: FakeHub, made: Path, cache: Path, recorded: RecordingEvents
) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    loaded = acquire(spec({"kind": "path", "path": str(made)}, HUB), cache, "auto", events=recorded)
    assert loaded.origin == f"path {made}"


def test_a_folder_is_read_as_it_is_without_a_snapshot(made: Path, cache: Path, recorded: RecordingEvents) -> None:
    loaded = acquire(spec({"kind": "path", "path": str(made)}), cache, "bfloat16", events=recorded)
    assert (loaded.snapshot, loaded.dtype) == ("", "bfloat16")
    assert not cache.exists()


def test_without_snapshots_none_is_made_and_none_is_used(hub: FakeHub, cache: Path, recorded: RecordingEvents) -> None:
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    before = sorted(cache.rglob("*"))
    loaded = acquire(spec(HUB, snapshot=False), cache, "auto", events=recorded)
    assert recorded.names() == ["source_loaded"]
    assert loaded.snapshot == ""
    assert sorted(cache.rglob("*")) == before


def test_a_model_over_the_limit_is_refused_before_anything_of_it_is_downloaded(
    hub: FakeHub, cache: Path, recorded: RecordingEvents
) -> None:
    hub.announced["model.safetensors"] = 2_000_001
    with pytest.raises(NoSourceError, match="2,000,001 bytes, over the limit of 2,000,000"):
        acquire(spec(HUB, max_model_size_mb=2), cache, "auto", events=recorded)
    assert hub.downloads() == []


def test_the_limit_of_the_environment_holds_for_every_spec(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.announced["model.safetensors"] = 2_000_001
    monkeypatch.setenv("MAX_MODEL_SIZE_MB", "2")
    with pytest.raises(NoSourceError, match="over the limit"):
        acquire(spec(HUB, max_model_size_mb=1000), cache, "auto", events=RecordingEvents())


def test_a_snapshot_over_the_limit_is_refused_before_it_is_read(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = tiny.model()
    wide.resize_token_embeddings(12_000)
    wide.save_pretrained(hub.folder)
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    hub.requests.clear()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(NoSourceError):
        acquire(spec(HUB, max_model_size_mb=1), cache, "auto", events=recorded)
    assert recorded.seen[0][:2] == ("source_failed", "snapshot tiny@main")
    assert "over the limit" in recorded.seen[0][2]
    assert (cache / "snapshots" / "tiny@main.pkl").exists()
    assert hub.downloads() == []


def test_the_answers_from_a_snapshot_are_those_from_the_source(
    hub: FakeHub, made: Path, cache: Path, recorded: RecordingEvents
) -> None:
    from_source = acquire(spec({"kind": "path", "path": str(made)}), cache, "auto", events=recorded)
    acquire(spec(HUB), cache, "auto", events=recorded)
    from_snapshot = acquire(spec(HUB), cache, "auto", events=recorded)
    assert from_snapshot.snapshot
    assert torch.equal(tiny.logits(from_snapshot), tiny.logits(from_source))
    assert tiny.greedy(from_snapshot) == tiny.greedy(from_source)
    assert from_snapshot.model.generation_config.repetition_penalty == 1.25
    assert from_snapshot.tokenizer.chat_template == tiny.TEMPLATE
    assert not from_snapshot.model.training


def test_the_model_has_the_requested_dtype_whatever_the_snapshot_has(
    hub: FakeHub, made: Path, cache: Path, recorded: RecordingEvents
) -> None:
    first = acquire(spec(HUB), cache, "bfloat16", events=recorded)
    second = acquire(spec(HUB), cache, "bfloat16", events=recorded)
    as_float = acquire(spec(HUB), cache, "float32", events=recorded)
    assert (first.dtype, second.dtype, as_float.dtype) == ("bfloat16", "bfloat16", "float32")
    # The snapshot keeps the weights' own precision, whoever asked first.
    assert torch.equal(as_float.model.lm_head.weight, tiny.model().lm_head.weight)
    from_source = acquire(spec({"kind": "path", "path": str(made)}), cache, "bfloat16", events=recorded)
    assert torch.equal(tiny.logits(second), tiny.logits(from_source))


def test_code_that_comes_with_a_model_does_not_run(hub: FakeHub, cache: Path, tmp_path: Path) -> None:
    config = (hub.folder / "config.json").read_text(encoding="utf-8")
    custom = '"auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}, "model_type": "evil"'
    (hub.folder / "config.json").write_text(config.replace('"model_type": "llama"', custom), encoding="utf-8")
    marker = tmp_path / "ran"
    (hub.folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(NoSourceError, match="cannot be read"):
        acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    assert not marker.exists()
    assert "evil.py" not in hub.downloads()


def test_a_download_that_stalls_is_given_up(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 1.0)
    hub.sending.clear()
    began = time.monotonic()
    with pytest.raises(NoSourceError, match="stood still for 1 s"):
        acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    assert time.monotonic() - began < 8
