"""`cache/snapshots/<name>.pkl` and `<name>.json`: weights and tokenizer, and the manifest that vouches for them.

Rules this file keeps:

- Nothing of a snapshot is used before the manifest fits it: size, then sha256, then a load that can make tensors and
  texts and nothing else (`weights_only`). A pickle that wants to run code does not run, whatever the manifest says.
- A snapshot appears whole or not at all: written aside, synced, opened again and compared, then renamed, the manifest
  last. Without its manifest it is none.
- What fails verification is set aside, never trusted and never repaired.
- Only who holds the snapshot's lock writes, renames or sets aside. The kernel frees the lock of a process that died.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from deployments.settings.sources import Source
from deployments.sources.checkpoint import LoadedModel
from deployments.sources.contents import ContentsError, pack, require_alike, weight_bytes
from deployments.sources.errors import ModelTooLargeError, SnapshotNotKeptError, refuse_over, said_by
from deployments.sources.manifest import Manifest, vouch
from deployments.sources.pickles import open_pickle, write_pickle, write_text

WAITING_SECONDS = 30.0
"""How often whoever waits for a builder says so."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A snapshot that was verified and mapped."""

    loaded: LoadedModel


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no snapshot to use. `reason` is empty where there simply is none."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Damaged:
    """There is something, but it failed verification."""

    reason: str


Found = Ready | Absent | Damaged


class SnapshotStore:
    """The snapshots of one node, in `cache`, the cache's folder.

    Names are `Source.snapshot`; where two sources share one, the manifest tells whose it is.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "snapshots"
        self._quarantine = cache / "quarantine"

    def manifest(self, source: Source) -> Manifest | None:
        """What the manifest of the snapshot of `source` says; nothing is verified. `None` where there is none of it."""
        try:
            manifest = Manifest.model_validate_json(self._manifest(source).read_bytes())
        except (OSError, ValidationError):
            return None
        return manifest if manifest.source == source and self._pkl(source).exists() else None

    def look(self, source: Source, limit: int, dtype: str) -> Found:
        """Verify and open the snapshot of `source`. Changes nothing.

        Args:
            source: what it must have been made from, pins included.
            limit: bytes of weights, at most; checked before they are read.
            dtype: the weights' dtype; `auto` for the snapshot's own, any other than that costs a copy.
        """
        pkl, beside = self._pkl(source), self._manifest(source)
        try:
            manifest = Manifest.model_validate_json(beside.read_bytes())
        except FileNotFoundError:
            return Damaged("it has no manifest") if pkl.exists() else Absent()
        except ValidationError as error:
            return Damaged(f"its manifest does not fit: {error.errors()[0]['msg']}")
        except OSError as error:
            return Absent(f"its manifest cannot be read: {error.strerror}")
        if manifest.source != source:
            return Absent(f"it was made from another source: {manifest.origin}")
        if manifest.weight_bytes > limit:
            return Absent(ModelTooLargeError(manifest.weight_bytes, limit).reason)
        try:
            return Ready(open_pickle(pkl, manifest, dtype, source.snapshot))
        except FileNotFoundError:
            return Damaged("its manifest stands alone")
        except (OSError, MemoryError) as error:
            return Absent(f"it cannot be read: {said_by(error)}")
        except ContentsError as error:
            return Damaged(str(error))

    @contextmanager
    def building(self, source: Source, waiting: Callable[[], None]) -> Iterator[None]:
        """Be the one builder of a snapshot on this node.

        Args:
            source: what it is made from.
            waiting: called where another is building, at once and every `WAITING_SECONDS`.

        Raises:
            SnapshotNotKeptError: the folder cannot be written to, or its file system has no locks.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self._file(source, ".lock"), fallback_to_soft=False)
        patience = 0.0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while not lock.is_locked:
                try:
                    lock.acquire(timeout=patience)
                except Timeout:
                    waiting()
                    patience = WAITING_SECONDS
        except (OSError, NotImplementedError) as error:
            raise SnapshotNotKeptError(f"{self._folder.name} cannot be locked: {said_by(error)}") from error
        try:
            yield
        finally:
            lock.release()

    def set_aside(self, source: Source) -> None:
        """Move a damaged snapshot into the quarantine, in place of an earlier one of the same name.

        To be called by its builder. Where it cannot be moved it is deleted.

        Raises:
            SnapshotNotKeptError: it can be neither moved nor deleted.
        """
        stem = _stem(source)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        files = (self._manifest(source), self._pkl(source))
        try:
            for earlier in self._quarantine.glob(f"{stem}-????????T*Z"):
                shutil.rmtree(earlier)
            aside = self._quarantine / f"{stem}-{now}"
            aside.mkdir(parents=True)
            for file in files:
                with suppress(FileNotFoundError):
                    file.rename(aside / file.name)
        except OSError:
            try:
                for file in files:
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise SnapshotNotKeptError(f"a damaged one is in the way: {said_by(error)}") from error

    def publish(self, source: Source, loaded: LoadedModel, limit: int, dtype: str) -> tuple[LoadedModel, int]:
        """Make a snapshot of `loaded`, in place of an earlier one. To be called by its builder.

        Args:
            source: where the model came from.
            loaded: the model, with weights of the dtype the snapshot is to have.
            limit: bytes of weights, at most.
            dtype: the dtype of what is returned.

        Returns:
            The model with its weights mapped from the snapshot, and the bytes of its file.

        Raises:
            SnapshotNotKeptError: it could not be written or failed verification; nothing is left of it.
        """
        pkl, beside = self._pkl(source), self._manifest(source)
        new_pkl, new_beside = self._file(source, ".pkl.new"), self._file(source, ".json.new")
        try:
            contents = pack(loaded)
            weights = weight_bytes(contents)
            refuse_over(limit, weights)
            sha256, size = write_pickle(new_pkl, contents)
            manifest = vouch(sha256, size, weights, source, loaded)
            mapped = open_pickle(new_pkl, manifest, dtype, source.snapshot)
            require_alike(loaded.tokenizer, mapped.tokenizer)
            write_text(new_beside, manifest.model_dump_json(indent=2))
            # Never a new pickle beside an old manifest: without one it is recognised as unfinished.
            beside.unlink(missing_ok=True)
            new_pkl.replace(pkl)
            new_beside.replace(beside)
            _sync_folder(self._folder)
        except SnapshotNotKeptError:
            raise
        except (ModelTooLargeError, ContentsError) as error:
            raise SnapshotNotKeptError(str(error)) from error
        except Exception as error:
            raise SnapshotNotKeptError(said_by(error)) from error
        finally:
            for leftover in (new_pkl, new_beside):
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)
        return mapped, size

    def _file(self, source: Source, ending: str) -> Path:
        return self._folder / f"{_stem(source)}{ending}"

    def _pkl(self, source: Source) -> Path:
        return self._file(source, ".pkl")

    def _manifest(self, source: Source) -> Path:
        return self._file(source, ".json")


def _stem(source: Source) -> str:
    return re.sub(r"[^\w.@+-]", "-", source.snapshot)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
