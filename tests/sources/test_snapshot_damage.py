"""A snapshot that fails verification is moved to the quarantine and built again, never used."""

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


class Built:
    """A snapshot that has just been built, and its two files."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        # Only the logits are kept: a model would stay mapped, and reading a mapped file that is cut short is a SIGBUS.
        self.logits = tiny.logits(acquire(spec(HUB), cache, "auto", events=RecordingEvents()))
        self.pkl = cache / "snapshots" / f"{NAME}.pkl"
        self.manifest = cache / "snapshots" / f"{NAME}.json"

    def write_manifest(self, **changed: Any) -> None:
        """Make the manifest match the pickle again, then change it."""
        manifest = json.loads(self.manifest.read_text(encoding="utf-8"))
        data = self.pkl.read_bytes()
        manifest |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **changed}
        self.manifest.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture
def built(hub: FakeHub, cache: Path) -> Built:
    return Built(cache)


def _cut(built: Built) -> None:
    os.truncate(built.pkl, built.pkl.stat().st_size - 1)


def _cut_with_manifest(built: Built) -> None:
    os.truncate(built.pkl, built.pkl.stat().st_size // 2)
    built.write_manifest()


def _flip(built: Built) -> None:
    data = bytearray(built.pkl.read_bytes())
    data[len(data) // 2] ^= 1
    built.pkl.write_bytes(data)


def _wrong_digest(built: Built) -> None:
    built.write_manifest(sha256="0" * 64)


def _wrong_weights(built: Built) -> None:
    built.write_manifest(weight_bytes=1)


def _no_manifest(built: Built) -> None:
    built.manifest.unlink()


def _no_pickle(built: Built) -> None:
    built.pkl.unlink()


def _garbage_manifest(built: Built) -> None:
    built.manifest.write_bytes(b"\xff\x00 not JSON")


def _unknown_manifest(built: Built) -> None:
    built.write_manifest(trust="me")


def _not_a_snapshot(built: Built) -> None:
    torch.save({"state_dict": {}}, built.pkl)
    built.write_manifest()


def _changed(built: Built, **entries: Any) -> None:
    contents = torch.load(built.pkl, weights_only=True)
    torch.save(contents | entries, built.pkl)
    built.write_manifest()


def _missing_weights(built: Built) -> None:
    state = torch.load(built.pkl, weights_only=True)["state_dict"]
    norm = state.pop("model.norm.weight")
    _changed(built, state_dict=state)
    built.write_manifest(weight_bytes=json.loads(built.manifest.read_text("utf-8"))["weight_bytes"] - norm.nbytes)


def _escaping_tokenizer(built: Built) -> None:
    _changed(built, tokenizer={"../../escaped.json": "{}"})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, "bytes instead of"),
        (_cut_with_manifest, "no model can be made of it"),
        (_flip, "sha256"),
        (_wrong_digest, "sha256"),
        (_wrong_weights, "bytes of weights instead of 1"),
        (_no_manifest, "no manifest"),
        (_no_pickle, "no .pkl file"),
        (_garbage_manifest, "manifest is not valid"),
        (_unknown_manifest, "manifest is not valid"),
        (_not_a_snapshot, "entries of a snapshot"),
        (_missing_weights, "model.norm.weight"),
        (_escaping_tokenizer, "elsewhere"),
    ],
)
def test_a_corrupt_snapshot_is_quarantined_with_the_reason_and_built_again(
    built: Built, recorded: RecordingEvents, damage: Callable[[Built], None], reason: str
) -> None:
    damage(built)
    rebuilt = acquire(spec(HUB), built.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]
    assert recorded.seen[0][1] == NAME
    assert reason in recorded.seen[0][2]
    assert torch.equal(tiny.logits(rebuilt), built.logits)
    (folder,) = (built.cache / "quarantine").iterdir()
    assert folder.name.startswith(f"{NAME}-2")
    assert list(folder.iterdir())
    again = RecordingEvents()
    acquire(spec(HUB), built.cache, "auto", events=again)
    assert again.names() == ["snapshot_loaded"]


class _Runs:
    """Makes a file when it is unpickled."""

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
def test_code_in_a_pickle_does_not_run_even_if_the_manifest_matches(
    built: Built, recorded: RecordingEvents, tmp_path: Path, write: Callable[[Path, _Runs], None]
) -> None:
    marker = tmp_path / "ran"
    write(built.pkl, _Runs(marker))
    built.write_manifest()
    acquire(spec(HUB), built.cache, "auto", events=recorded)
    assert not marker.exists()
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]


def test_only_the_newest_corrupt_snapshot_of_a_name_is_kept(built: Built) -> None:
    for _ in range(3):
        _flip(built)
        acquire(spec(HUB), built.cache, "auto", events=RecordingEvents())
    assert len(list((built.cache / "quarantine").iterdir())) == 1


def test_a_corrupt_snapshot_that_cannot_be_moved_is_deleted(built: Built, recorded: RecordingEvents) -> None:
    (built.cache / "quarantine").touch()
    built.manifest.unlink()
    built.pkl.write_bytes(b"damaged")
    acquire(spec(HUB), built.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_loaded", "snapshot_built"]


def test_a_corrupt_snapshot_is_not_served_even_if_no_source_can_replace_it(
    built: Built, hub: FakeHub, recorded: RecordingEvents
) -> None:
    hub.status = 404
    for blob in (built.cache.parent / "library").rglob("*.safetensors"):
        blob.unlink()
    _flip(built)
    with pytest.raises(NoSourceError, match="no source could give the weights"):
        acquire(spec(HUB), built.cache, "auto", events=recorded)
    assert recorded.names() == ["snapshot_set_aside", "source_failed"]


def test_a_snapshot_of_another_source_with_the_same_name_is_not_used(built: Built, recorded: RecordingEvents) -> None:
    namesake = {"kind": "hub", "repo": "somebody-else/tiny"}
    with pytest.raises(NoSourceError, match="no source could give the weights"):
        acquire(spec(namesake), built.cache, "auto", events=recorded)
    assert "made from another source: hub some/tiny@main" in recorded.reasons()
    assert built.pkl.exists()
