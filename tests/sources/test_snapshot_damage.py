"""What fails verification is set aside and rebuilt, never trusted."""

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.sources import NoSourceError, acquire
from tests.sources import tiny
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents

NAME = "tiny@main"


class Kept:
    """A snapshot that was just made, and its two files."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        # Only its logits: a model stays mapped, and whoever cuts a mapped file short kills who reads it.
        self.logits = tiny.logits(acquire(spec(HUB), cache, "auto", events=RecordingEvents()))
        self.pkl = cache / "snapshots" / f"{NAME}.pkl"
        self.beside = cache / "snapshots" / f"{NAME}.json"

    def vouch(self, **changed: Any) -> None:
        """Make the manifest fit the pickle again, and then change it."""
        manifest = json.loads(self.beside.read_text(encoding="utf-8"))
        data = self.pkl.read_bytes()
        manifest |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **changed}
        self.beside.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture
def kept(hub: FakeHub, cache: Path) -> Kept:
    return Kept(cache)


def _cut(kept: Kept) -> None:
    os.truncate(kept.pkl, kept.pkl.stat().st_size - 1)


def _cut_with_manifest(kept: Kept) -> None:
    os.truncate(kept.pkl, kept.pkl.stat().st_size // 2)
    kept.vouch()


def _flip(kept: Kept) -> None:
    data = bytearray(kept.pkl.read_bytes())
    data[len(data) // 2] ^= 1
    kept.pkl.write_bytes(data)


def _wrong_digest(kept: Kept) -> None:
    kept.vouch(sha256="0" * 64)


def _wrong_weights(kept: Kept) -> None:
    kept.vouch(weight_bytes=1)


def _no_manifest(kept: Kept) -> None:
    kept.beside.unlink()


def _no_pickle(kept: Kept) -> None:
    kept.pkl.unlink()


def _garbage_manifest(kept: Kept) -> None:
    kept.beside.write_bytes(b"\xff\x00 not JSON")


def _unknown_manifest(kept: Kept) -> None:
    kept.vouch(trust="me")


def _not_a_snapshot(kept: Kept) -> None:
    torch.save({"state_dict": {}}, kept.pkl)
    kept.vouch()


def _changed(kept: Kept, **entries: Any) -> None:
    contents = torch.load(kept.pkl, weights_only=True)
    torch.save(contents | entries, kept.pkl)
    kept.vouch()


def _missing_weights(kept: Kept) -> None:
    state = torch.load(kept.pkl, weights_only=True)["state_dict"]
    norm = state.pop("model.norm.weight")
    _changed(kept, state_dict=state)
    kept.vouch(weight_bytes=json.loads(kept.beside.read_text("utf-8"))["weight_bytes"] - norm.nbytes)


def _escaping_tokenizer(kept: Kept) -> None:
    _changed(kept, tokenizer={"../../escaped.json": "{}"})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, "bytes instead of"),
        (_cut_with_manifest, "no model can be made of it"),
        (_flip, "sha256"),
        (_wrong_digest, "sha256"),
        (_wrong_weights, "bytes of weights instead of 1"),
        (_no_manifest, "no manifest"),
        (_no_pickle, "stands alone"),
        (_garbage_manifest, "manifest does not fit"),
        (_unknown_manifest, "manifest does not fit"),
        (_not_a_snapshot, "entries of a snapshot"),
        (_missing_weights, "model.norm.weight"),
        (_escaping_tokenizer, "elsewhere"),
    ],
)
def test_a_damaged_snapshot_is_set_aside_with_its_reason_and_rebuilt(
    kept: Kept, recorded: RecordingEvents, damage: Callable[[Kept], None], reason: str
) -> None:
    damage(kept)
    rebuilt = acquire(spec(HUB), kept.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]
    assert recorded.seen[0][1] == NAME
    assert reason in recorded.seen[0][2]
    assert torch.equal(tiny.logits(rebuilt), kept.logits)
    (aside,) = (kept.cache / "quarantine").iterdir()
    assert aside.name.startswith(f"{NAME}-2")
    assert list(aside.iterdir())
    again = RecordingEvents()
    acquire(spec(HUB), kept.cache, "auto", events=again)
    assert again.names() == ["snapshot_loaded"]


class _Runs:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (open, (str(self.marker), "w"))


def _torch_pickle(file: Path, evil: _Runs) -> None:
    torch.save({"format": 1, "state_dict": evil}, file)


def _plain_pickle(file: Path, evil: _Runs) -> None:
    file.write_bytes(pickle.dumps(evil))


def _zip_with_plain_pickle(file: Path, evil: _Runs) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [_torch_pickle, _plain_pickle, _zip_with_plain_pickle])
def test_a_pickle_that_wants_to_run_code_does_not_even_when_the_manifest_vouches_for_it(
    kept: Kept, recorded: RecordingEvents, tmp_path: Path, write: Callable[[Path, _Runs], None]
) -> None:
    marker = tmp_path / "ran"
    write(kept.pkl, _Runs(marker))
    kept.vouch()
    acquire(spec(HUB), kept.cache, "auto", events=recorded)
    assert not marker.exists()
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]


def test_only_the_newest_damaged_snapshot_of_a_name_is_kept(kept: Kept) -> None:
    for _ in range(3):
        _flip(kept)
        acquire(spec(HUB), kept.cache, "auto", events=RecordingEvents())
    assert len(list((kept.cache / "quarantine").iterdir())) == 1


def test_a_damaged_snapshot_that_cannot_be_moved_is_deleted(kept: Kept, recorded: RecordingEvents) -> None:
    (kept.cache / "quarantine").touch()
    kept.beside.unlink()
    kept.pkl.write_bytes(b"damaged")
    acquire(spec(HUB), kept.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]


def test_a_damaged_snapshot_is_not_served_when_no_source_can_replace_it(
    kept: Kept, hub: FakeHub, recorded: RecordingEvents
) -> None:
    hub.status = 404
    for blob in (kept.cache.parent / "library").rglob("*.safetensors"):
        blob.unlink()
    _flip(kept)
    with pytest.raises(NoSourceError, match="no source could give the weights"):
        acquire(spec(HUB), kept.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_failed"]


def test_a_snapshot_of_another_source_with_the_same_name_is_not_used(kept: Kept, recorded: RecordingEvents) -> None:
    namesake = {"kind": "hub", "repo": "somebody-else/tiny"}
    with pytest.raises(NoSourceError, match="no source could give the weights"):
        acquire(spec(namesake), kept.cache, "auto", events=recorded)
    assert "made from another source: hub some/tiny@main" in recorded.reasons()
    assert kept.pkl.exists()
