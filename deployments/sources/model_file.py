"""Opening the file of a model, after it has been verified.

resolve  ──► the path, links followed, is inside a model root     else ModelFileError
open     ──► the size is within the limit                         else ModelTooLargeError, nothing is read
digest   ──► the sha256 of the open file is the pinned one        else ModelFileError
rewind   ──► the same open file is handed over, so that what is loaded is what was verified
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deployments.settings import FileSpec, WeightLimit, root
from deployments.sources.errors import refuse_over

ROOTS_VARIABLE = "NEVERBLANK_MODELS"
"""Environment variable: the folders that models may be in, separated by `:`. Default: the project's root."""


class ModelFileError(Exception):
    """The file of a model is refused; the message says why, and what is accepted."""


@contextmanager
def open_model_file(spec: FileSpec) -> Iterator[BinaryIO]:
    """Open the file of `spec` and verify it; it is positioned at its beginning.

    Args:
        spec: the file's path, size limit, and digest, which is mandatory if loading the file can run code.

    Raises:
        ModelFileError: the file is outside the model roots, does not have the pinned digest, or needs one.
        ModelTooLargeError: it is over the limit, and has not been read.
        OSError: it cannot be read.
    """
    path = resolve_model_path(spec.path)
    with path.open("rb") as file:
        refuse_over(WeightLimit.of(spec).max_bytes, os.fstat(file.fileno()).st_size)
        if spec.sha256 is not None or spec.runs_code:
            _verify(spec, hashlib.file_digest(file, "sha256").hexdigest())
            file.seek(0)
        yield file


def resolve_model_path(path: str) -> Path:
    """`path` as an absolute path, links followed.

    Raises:
        ModelFileError: it is not inside one of the model roots.
        OSError: it does not exist.
    """
    found = (root() / path).resolve(strict=True)
    roots = model_roots()
    if not any(found.is_relative_to(folder) for folder in roots):
        accepted = ", ".join(str(folder) for folder in roots)
        raise ModelFileError(f"path: {path} leaves the model roots (accepted: a file below {accepted})")
    return found


def model_roots() -> tuple[Path, ...]:
    """The folders that models may be in, links followed."""
    configured = os.environ.get(ROOTS_VARIABLE, "")
    folders = [Path(folder) for folder in configured.split(os.pathsep) if folder]
    return tuple(folder.resolve() for folder in folders) or (root().resolve(),)


def _verify(spec: FileSpec, digest: str) -> None:
    if spec.sha256 is None:
        raise ModelFileError(
            f"sha256: is missing. Loading {spec.path} can run any code that is in it. If you trust where this very "
            f"file came from, pin it: sha256: {digest}"
        )
    if digest != spec.sha256:
        raise ModelFileError(f"sha256: {spec.path} has {digest}, which is not the digest that was pinned")
