"""The snapshots of a node as a whole: what there is, whether it is sound, and what nobody needs any more."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deployments.settings.sources import Source
from deployments.sources.errors import SnapshotNotKeptError
from deployments.sources.manifest import Manifest
from deployments.sources.snapshots import Absent, Damaged, Ready, SnapshotStore


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot, or what is left of one.

    Attributes:
        name: of its files, without the ending.
        manifest: what vouches for it; `None` where there is none that can be read.
    """

    name: str
    manifest: Manifest | None


def list_snapshots(cache: Path) -> list[Kept]:
    """Every snapshot in `cache`, by name; nothing is verified."""
    folder = cache / "snapshots"
    names = sorted(
        {file.name.removesuffix(file.suffix) for ending in ("pkl", "json") for file in folder.glob(f"*.{ending}")}
    )
    return [Kept(name, _manifest(folder / f"{name}.json")) for name in names]


def verify_snapshot(cache: Path, kept: Kept) -> str:
    """Read a snapshot as a replica would, its digest and all. Returns what is wrong with it; empty where nothing is."""
    if kept.manifest is None:
        return "it has no manifest that can be read"
    found = SnapshotStore(cache).look(kept.manifest.source, kept.manifest.weight_bytes, "auto")
    match found:
        case Ready():
            return ""
        case Absent(reason) | Damaged(reason):
            return reason or "its files are gone"


def prune_snapshots(cache: Path, unneeded: Callable[[Source], bool], *, dry_run: bool = False) -> Iterator[str]:
    """Remove the snapshots of sources that are `unneeded`, and name each; with `dry_run` only name them.

    Who has mapped one keeps what it has mapped. One that is being built is left alone.

    Raises:
        SnapshotNotKeptError: the folder cannot be written to.
    """
    store = SnapshotStore(cache)
    for kept in list_snapshots(cache):
        if kept.manifest is None or not unneeded(kept.manifest.source):
            continue
        with suppress(_BeingBuiltError), store.building(kept.manifest.source, _leave_alone):
            if not dry_run:
                for ending in ("json", "pkl"):  # the manifest first: without it, it is none
                    (cache / "snapshots" / f"{kept.name}.{ending}").unlink(missing_ok=True)
            yield kept.name


def clear_quarantine(cache: Path, *, dry_run: bool = False) -> Iterator[str]:
    """Remove every snapshot that was found damaged, and name each; with `dry_run` only name them."""
    quarantine = cache / "quarantine"
    for aside in sorted(quarantine.iterdir()) if quarantine.is_dir() else ():
        if not dry_run:
            shutil.rmtree(aside)
        yield f"quarantine/{aside.name}"


class _BeingBuiltError(SnapshotNotKeptError):
    """Somebody else holds the snapshot's lock."""


def _leave_alone() -> None:
    raise _BeingBuiltError("it is being built")


def _manifest(file: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
