"""The .pkl file of a snapshot: a torch pickle, written with its digest, and mapped once it has been verified."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

from deployments.sources.checkpoint import LoadedModel, dtype_name
from deployments.sources.contents import ContentsError, check, prepare, unpack, weight_bytes
from deployments.sources.errors import said_by
from deployments.sources.manifest import Manifest

_PIECE_BYTES = 16 << 20


def open_pickle(pkl: Path, manifest: Manifest, dtype: str, name: str) -> LoadedModel:
    """Verify a pickle against its manifest and map the model from it.

    Args:
        pkl: the file.
        manifest: what vouches for it.
        dtype: the weights' dtype; `auto` for the pickle's own, any other than that costs a copy.
        name: the snapshot's name.

    Raises:
        ContentsError: it is not what the manifest says, or no model can be made of it.
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        MemoryError: it cannot be mapped.
    """
    with pkl.open("rb", buffering=0) as opened, ThreadPoolExecutor(1, "digest") as aside:
        size = os.fstat(opened.fileno()).st_size
        if size != manifest.size:
            raise ContentsError(f"it has {size:,} bytes instead of {manifest.size:,}")
        digest = aside.submit(_digest, opened)
        prepare()  # on another core meanwhile, and usually longer
        if digest.result() != manifest.sha256:
            raise ContentsError("its sha256 is not the manifest's")
        try:
            # torch maps by name only; this name is the file that was just digested, whatever was renamed since.
            contents = _load(f"/dev/fd/{opened.fileno()}", manifest.weight_bytes)
            model, tokenizer = unpack(contents, manifest.dtype if dtype == "auto" else dtype)
        except (ContentsError, OSError, MemoryError):
            raise
        except Exception as error:
            raise ContentsError(f"no model can be made of it: {said_by(error)}") from error
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
    """The sha256 of a file. `hashlib.file_digest` reads in small pieces, and waits for the interpreter lock at each."""
    digest, buffer = hashlib.sha256(), bytearray(_PIECE_BYTES)
    while count := opened.readinto(buffer):
        digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def _load(name: str, expected: int) -> dict[str, Any]:
    import torch

    try:
        contents = check(torch.load(name, "cpu", weights_only=True, mmap=True))
    except OSError as error:
        # All of it has just been read: the disk is fine, what torch looked for is not there.
        raise ContentsError(f"no model can be made of it: {said_by(error)}") from error
    if (weights := weight_bytes(contents)) != expected:
        raise ContentsError(f"it has {weights:,} bytes of weights instead of {expected:,}")
    return contents


class _Digesting:
    """A file that torch writes to: digests on the way, and keeps the first error for later.

    torch's writer is C++ and turns what a file raises into an error of its own, which hides the reason.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0
        self.errors: list[OSError] = []

    def write(self, data: Any) -> int:
        """Write `data`, a buffer. Returns its bytes."""
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
        """Do nothing: whoever opened the file flushes and syncs it."""

    @property
    def sha256(self) -> str:
        """The digest of what was written."""
        return self._digest.hexdigest()


def write_pickle(pkl: Path, contents: Any) -> tuple[str, int]:
    """Write `contents` and sync.

    Returns:
        The sha256 and the bytes of what was meant to be written, whatever the disk then holds.

    Raises:
        OSError: it cannot be written.
    """
    import torch

    with pkl.open("wb") as opened:
        writer = _Digesting(opened)
        torch.save(contents, cast("IO[bytes]", writer))  # it asks for no more
        if writer.errors:
            raise writer.errors[0]
        opened.flush()
        os.fsync(opened.fileno())
    return writer.sha256, writer.size


def write_text(file: Path, text: str) -> None:
    """Write `text` and sync. Raises `OSError` where it cannot be written."""
    with file.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
