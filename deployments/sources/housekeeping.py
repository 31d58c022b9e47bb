"""All snapshots of a node: list, verify and remove them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deployments.settings.sources import Source
from deployments.sources.converted import conversions_in
from deployments.sources.errors import SnapshotNotKeptError
from deployments.sources.failures import failures_in
from deployments.sources.manifest import Manifest
from deployments.sources.snapshots import Corrupt, Hit, Miss, SnapshotStore


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot in the cache, complete or not.

    Attributes:
        name: the name of its files, without the ending.
        manifest: its manifest; `None` if there is none that can be read.
    """

    name: str
    manifest: Manifest | None


def list_snapshots(cache: Path) -> list[StoredSnapshot]:
    """Every snapshot in `cache`, sorted by name; they are not verified."""
    folder = cache / "snapshots"
    names = sorted(
        {file.name.removesuffix(file.suffix) for ending in ("pkl", "json") for file in folder.glob(f"*.{ending}")}
    )
    return [StoredSnapshot(name, _manifest(folder / f"{name}.json")) for name in names]


def verify_snapshot(cache: Path, stored: StoredSnapshot) -> str:
    """Verify and load a snapshot as a replica does. Returns what is wrong with it; empty if nothing is."""
    if stored.manifest is None:
        return "it has no manifest that can be read"
    found = SnapshotStore(cache).lookup(stored.manifest.source, stored.manifest.weight_bytes, "auto")
    match found:
        case Hit():
            return ""
        case Miss(reason) | Corrupt(reason):
            return reason or "its files are gone"


def prune_snapshots(cache: Path, unneeded: Callable[[Source], bool], *, dry_run: bool = False) -> Iterator[str]:
    """Remove what is kept of sources that are `unneeded`, and yield the name of each; with `dry_run` remove none.

    What could not be made is forgotten, so that it is tried once more: the records do not tell whose they are.
    A process that has mapped a removed snapshot keeps its memory. A snapshot that is being built is skipped.

    Raises:
        SnapshotNotKeptError: the folder cannot be written to.
    """
    for folder, source in conversions_in(cache):
        if unneeded(source):
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
            yield folder.name
    for record in [*failures_in(cache / "snapshots"), *failures_in(cache / "gguf")]:
        if not dry_run:
            record.unlink(missing_ok=True)
        yield record.name
    store = SnapshotStore(cache)
    for stored in list_snapshots(cache):
        if stored.manifest is None or not unneeded(stored.manifest.source):
            continue
        with suppress(_BeingBuiltError), store.lock(stored.manifest.source, _skip):
            if not dry_run:
                for ending in ("json", "pkl"):  # the manifest first: a pickle alone is not a snapshot
                    (cache / "snapshots" / f"{stored.name}.{ending}").unlink(missing_ok=True)
            yield stored.name


def clear_quarantine(cache: Path, *, dry_run: bool = False) -> Iterator[str]:
    """Remove every snapshot in the quarantine, and yield the name of each; with `dry_run` remove none."""
    quarantine = cache / "quarantine"
    for folder in sorted(quarantine.iterdir()) if quarantine.is_dir() else ():
        if not dry_run:
            shutil.rmtree(folder)
        yield f"quarantine/{folder.name}"


class _BeingBuiltError(SnapshotNotKeptError):
    """Another process holds the snapshot's lock."""


def _skip() -> None:
    raise _BeingBuiltError("it is being built")


def _manifest(file: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
