"""Weights in a folder that is already on the node."""

from pathlib import Path

from deployments.settings.sources import PathSource
from deployments.sources.checkpoint import Checkpoint, source_name, weight_size
from deployments.sources.errors import SourceError, refuse_over
from deployments.sources.model_file import ModelFileError, resolve_model_path


def find(source: PathSource, limit: int) -> Checkpoint:
    """Find the weights in a folder: safetensors with a `config.json`, or else a single GGUF file.

    Args:
        source: the folder.
        limit: the most bytes of weights.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        SourceError: the folder is missing, outside the model roots, or has no such weights.
    """
    try:
        folder = resolve_model_path(source.path)
        ggufs = sorted(file for file in folder.iterdir() if file.suffix == ".gguf")
        size = weight_size(folder)
        gguf = None if size or len(ggufs) != 1 else ggufs[0]
        if gguf is not None:
            size = gguf.stat().st_size
    except ModelFileError as error:
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
        origin=source_name(source),
        revision="",
        license="",
    )
