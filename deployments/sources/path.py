"""Weights that are already on the node, in a folder or a GGUF file."""

from pathlib import Path

from deployments.settings.sources import PathSource
from deployments.sources.checkpoint import Checkpoint, source_name, weight_size
from deployments.sources.errors import SourceError, refuse_over
from deployments.sources.model_file import ModelFileError, model_roots, resolve_model_path

_SHOWN = 10


def exists(source: PathSource) -> bool:
    """Whether there is anything at the path, inside the model roots."""
    try:
        resolve_model_path(source.path)
    except (OSError, ModelFileError):
        return False
    return True


def find(source: PathSource, limit: int) -> Checkpoint:
    """Find the weights in a folder: safetensors with a `config.json`, or else a single GGUF file. Or that file itself.

    Args:
        source: the folder or the file.
        limit: the most bytes of weights.

    Returns:
        The checkpoint; of a GGUF file with a revision that changes with the file.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        SourceError: the path does not exist, is outside the model roots, or has no such weights.
    """
    try:
        path = resolve_model_path(source.path)
        gguf = _gguf(path)
        size = weight_size(path) if gguf is None else gguf.stat().st_size
        changed = 0 if gguf is None else gguf.stat().st_mtime_ns
    except ModelFileError as error:
        raise SourceError(str(error)) from error
    except FileNotFoundError as error:
        accepted = ", ".join(str(folder) for folder in model_roots())
        raise SourceError(
            f"path: there is nothing at {source.path} on this node (accepted: a folder or a GGUF file below {accepted})"
        ) from error
    except OSError as error:
        raise SourceError(f"path: {source.path} cannot be read: {error.strerror}") from error
    if gguf is None and not (path / "config.json").is_file():
        raise SourceError("the folder holds no config.json")
    refuse_over(limit, size)
    return Checkpoint(
        folder=path if gguf is None else gguf.parent,
        gguf=None if gguf is None else gguf.name,
        name=Path(source.path).name,
        origin=source_name(source),
        revision="" if gguf is None else f"{size}-{changed}",
        license="",
    )


def _gguf(path: Path) -> Path | None:
    """The GGUF file that `path` names or holds; `None` for a folder with safetensors."""
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise SourceError("it is no GGUF file (accepted: a GGUF file, or the folder of a model)")
        return path
    ggufs = sorted(file for file in path.iterdir() if file.suffix == ".gguf")
    if weight_size(path):
        return None
    if len(ggufs) == 1:
        return ggufs[0]
    shown = ", ".join(file.name for file in ggufs[:_SHOWN])
    raise SourceError(
        f"the folder holds no weights (accepted: model.safetensors, whole or in parts, or one GGUF file; "
        f"it has {len(ggufs)} of the latter{': name one of ' + shown if ggufs else ''})"
    )
