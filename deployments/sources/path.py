"""Weights in a folder that is already on the node."""

from pathlib import Path

from deployments.settings.sources import PathSource
from deployments.sources.checkpoint import Checkpoint, label, weight_size
from deployments.sources.errors import SourceError, refuse_over
from deployments.sources.model_file import ArtefactError, locate


def size_of(source: PathSource, limit: int) -> int:
    """The bytes of a folder's weights; raises what `find` does."""
    found = find(source, limit)
    return weight_size(found.folder) if found.gguf is None else (found.folder / found.gguf).stat().st_size


def find(source: PathSource, limit: int) -> Checkpoint:
    """Find a folder's weights: safetensors with a `config.json`, or else one GGUF file.

    Args:
        source: the folder.
        limit: bytes of weights, at most.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        SourceError: the folder is missing, outside the model roots, or holds no such weights.
    """
    try:
        folder = locate(source.path)
        ggufs = sorted(file for file in folder.iterdir() if file.suffix == ".gguf")
        size = weight_size(folder)
        gguf = None if size or len(ggufs) != 1 else ggufs[0]
        if gguf is not None:
            size = gguf.stat().st_size
    except ArtefactError as error:
        raise SourceError(str(error)) from error
    except OSError as error:
        raise SourceError(f"the folder cannot be read: {error.strerror}") from error
    if not size:
        raise SourceError(
            f"the folder holds no weights (accepted: model.safetensors, whole or in parts, or one GGUF file; "
            f"it has {len(ggufs)} of the latter)"
        )
    if gguf is None and not (folder / "config.json").is_file():
        raise SourceError("the folder holds no config.json")
    refuse_over(limit, size)
    return Checkpoint(
        folder=folder,
        gguf=None if gguf is None else gguf.name,
        name=Path(source.path).name,
        origin=label(source),
        revision="",
        license="",
    )
