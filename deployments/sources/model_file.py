"""Opening a model's file: from where, how large, and whether it is the one that was meant.

resolved  ──► inside one of the model roots, links followed     else ArtefactError
opened    ──► its size                                          else ModelTooLargeError, nothing read
digested  ──► its sha256, of the same open file                 else ArtefactError
rewound   ──► handed over: what is read is what was digested
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
"""Folders that models may be in, separated by `:`; without it the project's root."""


class ArtefactError(Exception):
    """A model's file is not loaded; the message says why, and what would be right."""


@contextmanager
def opened(spec: FileSpec) -> Iterator[BinaryIO]:
    """Open the file of `spec`, verified and at its beginning.

    Args:
        spec: which file, its digest, which is demanded where loading it can run code, and its largest size.

    Raises:
        ArtefactError: it is outside the model roots, is not the file that was pinned, or should have been.
        ModelTooLargeError: it is over the limit; it has not been read.
        OSError: it cannot be read.
    """
    path = locate(spec.path)
    with path.open("rb") as file:
        refuse_over(WeightLimit.of(spec).max_bytes, os.fstat(file.fileno()).st_size)
        if spec.sha256 is not None or spec.runs_code:
            _verify(spec, hashlib.file_digest(file, "sha256").hexdigest())
            file.seek(0)
        yield file


def locate(path: str) -> Path:
    """`path` with its links followed.

    Raises:
        ArtefactError: it is not inside one of the model roots.
        OSError: it does not exist.
    """
    found = (root() / path).resolve(strict=True)
    roots = model_roots()
    if not any(found.is_relative_to(folder) for folder in roots):
        accepted = ", ".join(str(folder) for folder in roots)
        raise ArtefactError(f"path: {path} leaves the model roots (accepted: a file below {accepted})")
    return found


def model_roots() -> tuple[Path, ...]:
    """The folders that models may be in."""
    configured = os.environ.get(ROOTS_VARIABLE, "")
    folders = [Path(folder) for folder in configured.split(os.pathsep) if folder]
    return tuple(folder.resolve() for folder in folders) or (root().resolve(),)


def _verify(spec: FileSpec, digest: str) -> None:
    if spec.sha256 is None:
        raise ArtefactError(
            f"sha256: is missing. Loading {spec.path} can run any code that is in it. If you trust where this very "
            f"file came from, pin it: sha256: {digest}"
        )
    if digest != spec.sha256:
        raise ArtefactError(f"sha256: {spec.path} has {digest}, which is not the digest that was pinned")
