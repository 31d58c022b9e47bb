"""Listing, verifying and removing the snapshots of a node."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from deployments.cli import app
from deployments.sources import acquire
from deployments.sources.housekeeping import clear_quarantine, list_snapshots, prune_snapshots, verify_snapshot
from deployments.sources.snapshots import SnapshotStore
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import FakeHub, RecordingEvents

NAME = "tiny@main"


@pytest.fixture
def built(hub: FakeHub, cache: Path) -> Path:
    """A cache with one snapshot."""
    acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    return cache


def command(cache: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"NEVERBLANK_CACHE": str(cache)})


def config(folder: Path, *sources: object) -> str:
    """A Serve config with one model of these sources."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump({"format": "huggingface", "id": "tiny", "sources": list(sources)}))
    build = "deployments.app:build_model"
    listed = [{"name": "tiny", "import_path": build, "args": {"spec": str(folder / "tiny.yaml")}}]
    (folder / "serve.yaml").write_text(yaml.safe_dump({"applications": listed}))
    return str(folder / "serve.yaml")


def test_snapshots_are_listed_with_their_manifests(built: Path) -> None:
    (stored,) = list_snapshots(built)

    assert stored.name == NAME
    assert stored.manifest is not None
    assert stored.manifest.origin == "hub some/tiny@main"
    (entry,) = json.loads(command(built, "snapshot", "list", "--json").output)
    assert (entry["snapshot"], entry["manifest"]["size"]) == (NAME, stored.manifest.size)
    assert NAME in command(built, "snapshot", "list").output


def test_verification_tells_a_sound_snapshot_from_a_damaged_one(built: Path) -> None:
    (stored,) = list_snapshots(built)
    assert verify_snapshot(built, stored) == ""
    assert command(built, "snapshot", "verify").exit_code == 0

    file = built / "snapshots" / f"{NAME}.pkl"
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert "sha256" in verify_snapshot(built, stored)
    verified = command(built, "snapshot", "verify")
    assert (verified.exit_code, "sha256" in verified.output) == (1, True)


def test_a_snapshot_without_a_manifest_fails_verification(built: Path) -> None:
    (built / "snapshots" / f"{NAME}.json").unlink()
    (stored,) = list_snapshots(built)

    assert "manifest" in verify_snapshot(built, stored)


def test_only_snapshots_that_no_model_needs_are_removed(built: Path, tmp_path: Path) -> None:
    assert list(prune_snapshots(built, lambda _: False)) == []
    assert command(built, "snapshot", "prune", config(tmp_path, HUB)).output == ""
    other = config(tmp_path, HUB | {"repo": "some/other"})

    assert f"would remove {NAME}" in command(built, "snapshot", "prune", other, "--dry-run").output
    assert len(list_snapshots(built)) == 1
    assert f"removed {NAME}" in command(built, "snapshot", "prune", other).output
    assert list_snapshots(built) == []


def test_a_snapshot_that_is_being_built_is_not_removed(built: Path) -> None:
    (stored,) = list_snapshots(built)
    assert stored.manifest is not None

    with SnapshotStore(built).lock(stored.manifest.source, lambda: None):
        assert list(prune_snapshots(built, lambda _: True)) == []

    assert list(prune_snapshots(built, lambda _: True)) == [NAME]


def test_the_quarantine_can_be_cleared(built: Path) -> None:
    (stored,) = list_snapshots(built)
    assert stored.manifest is not None
    SnapshotStore(built).quarantine(stored.manifest.source)

    (named,) = clear_quarantine(built, dry_run=True)
    assert named.startswith(f"quarantine/{NAME}-")
    assert list(clear_quarantine(built)) == [named]
    assert list(clear_quarantine(built)) == []


def test_pull_fetches_once_and_build_again_builds_a_new_snapshot(hub: FakeHub, cache: Path, tmp_path: Path) -> None:
    listed = config(tmp_path, HUB)

    pulled = command(cache, "pull", listed)
    assert pulled.exit_code == 0, pulled.output
    (first,) = list_snapshots(cache)
    assert command(cache, "pull", listed).exit_code == 0
    assert list_snapshots(cache) == [first]
    assert command(cache, "snapshot", "build", listed, "--again").exit_code == 0
    (second,) = list_snapshots(cache)
    assert first.manifest is not None
    assert second.manifest is not None
    assert second.manifest.created > first.manifest.created


def test_pull_fails_with_the_reason_if_no_source_can_give_the_weights(
    hub: FakeHub, cache: Path, tmp_path: Path
) -> None:
    hub.status = 404

    pulled = command(cache, "pull", config(tmp_path, HUB))

    assert pulled.exit_code == 1
    assert "no source could give the weights" in " ".join(pulled.output.split())
