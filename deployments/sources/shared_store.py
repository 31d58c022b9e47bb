"""The store that the nodes of a cluster share their snapshots through, so that one of them has to have a hub.

`NEVERBLANK_SNAPSHOT_STORE` names it: a folder that all nodes see, or a URL that fsspec can open (`s3://`, `gs://`,
`az://`, with the package that fsspec asks for). In there are, for each snapshot,

    <name>-<digest>.pkl    the weights; written first, and never changed
    <name>.json            the manifest, which says what the digest is; written last

Each appears in one piece, as others read while one writes, and several may write the same. A node copies what it lacks
beside its own snapshots, and verifies it as it does those. The store is trusted no more than that: a pickle from there
that wants to run code does not.
"""

import hashlib
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from deployments.sources.errors import describe_error
from deployments.sources.manifest import Manifest

STORE_VARIABLE = "NEVERBLANK_SNAPSHOT_STORE"

LARGEST_MANIFEST = 1 << 16
"""Bytes of the largest manifest that is read."""


class StoreError(Exception):
    """The store could not be read or written; the text says why, in one line."""


class SharedStore:
    """One shared store."""

    def __init__(self, url: str) -> None:
        """Use the store at `url`, a folder or a URL of fsspec's; nothing is opened yet."""
        self._url = url

    @classmethod
    def from_environment(cls) -> "SharedStore | None":
        """Return the store that the environment names; `None` where it names none."""
        url = os.environ.get(STORE_VARIABLE, "").strip()
        return cls(url) if url else None

    def fetch(self, stem: str, limit: int, pkl: Path, manifest_path: Path) -> bool:
        """Copy a snapshot to `pkl` and `manifest_path`, and return whether the store has it.

        The caller has to hold the lock of the snapshot, and to verify it.

        Args:
            stem: the name that its files begin with.
            limit: the most bytes of weights.
            pkl: where its weights belong.
            manifest_path: where its manifest belongs.

        Raises:
            StoreError: the store cannot be read, or what is in there is none of this limit.
        """
        new = pkl.with_name(f"{pkl.name}.{uuid.uuid4().hex}.new")
        try:
            files, root = self._open()
            try:
                told = files.cat_file(f"{root}/{stem}.json", end=LARGEST_MANIFEST)
            except FileNotFoundError:
                return False
            manifest = Manifest.model_validate_json(told)
            remote = _pickle(root, stem, manifest)
            _require_fit(manifest, limit, files.size(remote))
            pkl.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(remote, str(new))
            manifest_path.unlink(missing_ok=True)
            new.replace(pkl)
            manifest_path.write_bytes(told)
        except StoreError:
            raise
        except ValidationError as error:
            raise StoreError(f"its manifest is not valid: {error.errors()[0]['msg']}") from error
        except Exception as error:
            raise StoreError(describe_error(error)) from error
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)
        return True

    def publish(self, stem: str, pkl: Path, manifest_path: Path) -> None:
        """Copy a snapshot of this node into the store, unless it is there undamaged; the caller has to hold its lock.

        Raises:
            StoreError: it could not be written.
        """
        try:
            files, root = self._open()
            told = manifest_path.read_bytes()
            manifest = Manifest.model_validate_json(told)
            remote = _pickle(root, stem, manifest)
            files.makedirs(root, exist_ok=True)
            if not _is_whole(files, remote, manifest):
                _put(files, remote, partial(files.put_file, str(pkl)))
            _put(files, f"{root}/{stem}.json", lambda new: files.pipe_file(new, told))
        except Exception as error:
            raise StoreError(describe_error(error)) from error

    def _open(self) -> tuple[Any, str]:
        files, root = fsspec.url_to_fs(self._url)
        return files, str(root).rstrip("/")


def _is_whole(files: Any, remote: str, manifest: Manifest) -> bool:
    """Return whether `remote` is the file of `manifest`: a damaged one would be fetched by every node, in vain."""
    if not files.exists(remote) or files.size(remote) != manifest.size:
        return False
    with files.open(remote, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == manifest.sha256


def _put(files: Any, remote: str, write: Callable[[str], None]) -> None:
    """Have `write` write the file `remote` in one piece: in a folder by a rename; an object store does so by itself."""
    if not isinstance(files, LocalFileSystem):
        write(remote)
        return
    new = f"{remote}.{uuid.uuid4().hex}.new"
    try:
        write(new)
        Path(new).replace(remote)
    finally:
        Path(new).unlink(missing_ok=True)


def _require_fit(manifest: Manifest, limit: int, size: int) -> None:
    if manifest.weight_bytes > limit:
        raise StoreError(f"{manifest.weight_bytes} bytes of weights are above the limit ({limit})")
    if size != manifest.size:
        raise StoreError(f"its weights have {size} bytes, and not {manifest.size} as its manifest says")


def _pickle(root: str, stem: str, manifest: Manifest) -> str:
    return f"{root}/{stem}-{manifest.sha256[:16]}.pkl"
