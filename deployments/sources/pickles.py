"""The .pkl file of a snapshot: a torch pickle. It is digested while it is written, and verified before it is mapped."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

from deployments.sources.checkpoint import LoadedModel, dtype_name
from deployments.sources.errors import CorruptSnapshotError, describe_error
from deployments.sources.manifest import Manifest
from deployments.sources.serialization import deserialize, import_transformers, validate_contents, weight_bytes

_BUFFER_BYTES = 16 << 20


def open_pickle(pkl: Path, manifest: Manifest, dtype: str, name: str) -> LoadedModel:
    """Verify a pickle against its manifest and map the model from it.

    Args:
        pkl: the file.
        manifest: what to verify it against.
        dtype: the dtype of the weights; `auto` keeps that of the pickle, and any other is a copy in memory.
        name: the snapshot's name.

    Raises:
        CorruptSnapshotError: the file does not match the manifest, or no model can be made of it.
        FileNotFoundError: there is no file.
        OSError: the file cannot be read.
        MemoryError: the file cannot be mapped.
    """
    with pkl.open("rb", buffering=0) as opened, ThreadPoolExecutor(1, "digest") as executor:
        size = os.fstat(opened.fileno()).st_size
        if size != manifest.size:
            raise CorruptSnapshotError(f"it has {size:,} bytes instead of {manifest.size:,}")
        digest = executor.submit(_digest, opened)
        import_transformers()  # at the same time, on another core; usually takes longer
        if digest.result() != manifest.sha256:
            raise CorruptSnapshotError("its sha256 is not the manifest's")
        try:
            # torch maps by name only. This name is the open file that has been digested, even if it has been renamed.
            contents = _load(f"/dev/fd/{opened.fileno()}", manifest.weight_bytes)
            model, tokenizer = deserialize(contents, manifest.dtype if dtype == "auto" else dtype)
        except (CorruptSnapshotError, OSError, MemoryError):
            raise
        except Exception as error:
            raise CorruptSnapshotError(f"no model can be made of it: {describe_error(error)}") from error
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        name=manifest.model,
        origin=manifest.origin,
        revision=manifest.revision,
        license=manifest.license,
        dtype=dtype_name(model),
        snapshot=name,
    )


def _digest(opened: FileIO) -> str:
    """The sha256 of a file. `hashlib.file_digest` reads smaller blocks, and waits for the interpreter lock at each."""
    digest, buffer = hashlib.sha256(), bytearray(_BUFFER_BYTES)
    while count := opened.readinto(buffer):
        digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def _load(name: str, expected: int) -> dict[str, Any]:
    import torch

    try:
        contents = validate_contents(torch.load(name, "cpu", weights_only=True, mmap=True))
    except OSError as error:
        # The file has just been read to its end, so the disk is not to blame.
        raise CorruptSnapshotError(f"no model can be made of it: {describe_error(error)}") from error
    if (weights := weight_bytes(contents)) != expected:
        raise CorruptSnapshotError(f"it has {weights:,} bytes of weights instead of {expected:,}")
    return contents


class _HashingWriter:
    """The file that torch writes to. It digests what is written, and keeps the first error.

    torch's writer is C++ and replaces an exception of the file by one of its own, which does not say the reason.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0
        self.errors: list[OSError] = []

    def write(self, data: Any) -> int:
        """Write `data`, a buffer. Returns its size in bytes."""
        view = memoryview(data).cast("B")
        if not self.errors:
            try:
                self._file.write(view)
            except OSError as error:
                self.errors.append(error)
        self._digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Do nothing: `write_pickle` flushes and syncs the file."""

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hexadecimal."""
        return self._digest.hexdigest()


def write_pickle(pkl: Path, contents: Any) -> tuple[str, int]:
    """Write `contents` and sync the file.

    Returns:
        The sha256 and the size in bytes of what was given to the disk; the file has yet to be verified against them.

    Raises:
        OSError: the file cannot be written.
    """
    import torch

    with pkl.open("wb") as opened:
        writer = _HashingWriter(opened)
        torch.save(contents, cast("IO[bytes]", writer))  # torch needs no other method
        if writer.errors:
            raise writer.errors[0]
        opened.flush()
        os.fsync(opened.fileno())
    return writer.sha256, writer.size


def write_text(file: Path, text: str) -> None:
    """Write `text` and sync the file. Raises `OSError` if it cannot be written."""
    with file.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
