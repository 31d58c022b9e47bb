"""Snapshots: `cache/snapshots/<name>.pkl` with weights and tokenizer, and `<name>.json`, its manifest.

Rules of this file:

- A snapshot is verified against its manifest before it is used: size, then sha256, then a load that can create tensors
  and texts only (`weights_only`). Code in a pickle does not run, even if the manifest matches the pickle.
- A snapshot appears whole or not at all: it is written under another name, synced, opened and compared, then renamed,
  the manifest last. A pickle without a manifest is not a snapshot.
- A file that fails verification is moved to the quarantine; it is never used and never repaired.
- Only the holder of a snapshot's lock writes, renames or moves it. The kernel frees the lock of a process that dies.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from deployments.settings.sources import Source
from deployments.sources.checkpoint import LoadedModel
from deployments.sources.errors import (
    CorruptSnapshotError,
    ModelTooLargeError,
    SnapshotNotKeptError,
    describe_error,
    refuse_over,
)
from deployments.sources.locks import node_lock
from deployments.sources.manifest import Manifest, make_manifest
from deployments.sources.pickles import open_pickle, write_pickle, write_text
from deployments.sources.serialization import require_same_tokenizer, serialize, weight_bytes
from deployments.sources.shared_store import SharedStore


@dataclass(frozen=True, slots=True)
class Hit:
    """The snapshot has been verified and mapped."""

    loaded: LoadedModel


@dataclass(frozen=True, slots=True)
class Miss:
    """There is no snapshot to use. `reason` is empty if there is none at all."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """There is a snapshot, but it failed verification."""

    reason: str


Lookup = Hit | Miss | Corrupt


class SnapshotStore:
    """The snapshots of one node, in the folder `cache`.

    They are named by `Source.snapshot`. If two sources have the same name, the manifest says whose the snapshot is.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "snapshots"
        self._quarantine_folder = cache / "quarantine"

    def manifest(self, source: Source) -> Manifest | None:
        """The manifest of the snapshot of `source`, which is not verified; `None` if there is no such snapshot."""
        try:
            manifest = Manifest.model_validate_json(self._manifest_path(source).read_bytes())
        except (OSError, ValidationError):
            return None
        return manifest if manifest.source == source and self._pkl_path(source).exists() else None

    def lookup(self, source: Source, limit: int, dtype: str) -> Lookup:
        """Verify and open the snapshot of `source`. Changes no file.

        Args:
            source: the source it must have been made from, with the same pins.
            limit: the most bytes of weights; checked before they are read.
            dtype: the dtype of the weights; `auto` keeps that of the snapshot, and any other is a copy in memory.
        """
        pkl, manifest_path = self._pkl_path(source), self._manifest_path(source)
        try:
            manifest = Manifest.model_validate_json(manifest_path.read_bytes())
        except FileNotFoundError:
            return Corrupt("it has no manifest") if pkl.exists() else Miss()
        except ValidationError as error:
            return Corrupt(f"its manifest is not valid: {error.errors()[0]['msg']}")
        except OSError as error:
            return Miss(f"its manifest cannot be read: {error.strerror}")
        if manifest.source != source:
            return Miss(f"it was made from another source: {manifest.origin}")
        if manifest.weight_bytes > limit:
            return Miss(ModelTooLargeError(manifest.weight_bytes, limit).reason)
        try:
            return Hit(open_pickle(pkl, manifest, dtype, source.snapshot))
        except FileNotFoundError:
            return Corrupt("it has a manifest and no .pkl file")
        except (OSError, MemoryError) as error:
            return Miss(f"it cannot be read: {describe_error(error)}")
        except CorruptSnapshotError as error:
            return Corrupt(str(error))

    @contextmanager
    def lock(self, source: Source, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of a snapshot, without which it must not be changed; waits for it as `node_lock` does.

        Args:
            source: the source of the snapshot.
            on_wait: as of `node_lock`.

        Raises:
            SnapshotNotKeptError: the folder cannot be written to, its file system has no locks, or it is not free.
        """
        with ExitStack() as held:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(node_lock(self._file(source, ".lock"), on_wait))
            except (OSError, NotImplementedError) as error:
                raise SnapshotNotKeptError(f"{self._folder.name} cannot be locked: {describe_error(error)}") from error
            yield

    def quarantine(self, source: Source) -> None:
        """Move a corrupt snapshot into the quarantine, where it replaces an earlier one of the same name.

        The caller has to hold the lock. A snapshot that cannot be moved is deleted.

        Raises:
            SnapshotNotKeptError: it can be neither moved nor deleted.
        """
        stem = file_stem(source)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        files = (self._manifest_path(source), self._pkl_path(source))
        try:
            for earlier in self._quarantine_folder.glob(f"{stem}-????????T*Z"):
                shutil.rmtree(earlier)
            target = self._quarantine_folder / f"{stem}-{now}"
            target.mkdir(parents=True)
            for file in files:
                with suppress(FileNotFoundError):
                    file.rename(target / file.name)
        except OSError:
            try:
                for file in files:
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise SnapshotNotKeptError(f"a corrupt one is in the way: {describe_error(error)}") from error

    def publish(self, source: Source, loaded: LoadedModel, limit: int, dtype: str) -> tuple[LoadedModel, int]:
        """Make a snapshot of `loaded`, which replaces an earlier one. The caller has to hold the lock.

        Args:
            source: the source of the model.
            loaded: the model; the snapshot gets the dtype of its weights.
            limit: the most bytes of weights.
            dtype: the dtype of the model that is returned.

        Returns:
            The model with its weights mapped from the snapshot, and the bytes of its file.

        Raises:
            SnapshotNotKeptError: it could not be written or failed verification; nothing is left of it.
        """
        pkl, manifest_path = self._pkl_path(source), self._manifest_path(source)
        new_pkl, new_manifest = self._file(source, ".pkl.new"), self._file(source, ".json.new")
        try:
            contents = serialize(loaded)
            weights = weight_bytes(contents)
            refuse_over(limit, weights)
            sha256, size = write_pickle(new_pkl, contents)
            manifest = make_manifest(sha256, size, weights, source, loaded)
            mapped = open_pickle(new_pkl, manifest, dtype, source.snapshot)
            require_same_tokenizer(loaded.tokenizer, mapped.tokenizer)
            write_text(new_manifest, manifest.model_dump_json(indent=2))
            # A new pickle must not stand beside an old manifest; without a manifest it is known to be unfinished.
            manifest_path.unlink(missing_ok=True)
            new_pkl.replace(pkl)
            new_manifest.replace(manifest_path)
            _sync_folder(self._folder)
        except SnapshotNotKeptError:
            raise
        except (ModelTooLargeError, CorruptSnapshotError) as error:
            raise SnapshotNotKeptError(str(error)) from error
        except Exception as error:
            raise SnapshotNotKeptError(describe_error(error)) from error
        finally:
            for leftover in (new_pkl, new_manifest):
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)
        return mapped, size

    def fetch(self, source: Source, shared: SharedStore, limit: int) -> bool:
        """Copy the snapshot of `source` from the store of the cluster, and return whether it has it.

        The caller has to hold the lock, and to verify what has come.

        Raises:
            StoreError: the store cannot be read, or its snapshot is above `limit`.
        """
        return shared.fetch(file_stem(source), limit, self._pkl_path(source), self._manifest_path(source))

    def share(self, source: Source, shared: SharedStore) -> None:
        """Copy the snapshot of `source` into the store of the cluster. The caller has to hold the lock.

        Raises:
            StoreError: it could not be written.
        """
        shared.publish(file_stem(source), self._pkl_path(source), self._manifest_path(source))

    def _file(self, source: Source, ending: str) -> Path:
        return self._folder / f"{file_stem(source)}{ending}"

    def _pkl_path(self, source: Source) -> Path:
        return self._file(source, ".pkl")

    def _manifest_path(self, source: Source) -> Path:
        return self._file(source, ".json")


def file_stem(source: Source) -> str:
    """The name that all files of what is kept of `source` begin with."""
    return re.sub(r"[^\w.@+-]", "-", source.snapshot)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
