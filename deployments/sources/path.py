"""Weights that are already on the node, in a folder, a GGUF file, or several that are the parts of one model."""

from pathlib import Path

from deployments.settings.sources import PathSource
from deployments.sources.checkpoint import Checkpoint, source_name, weight_size
from deployments.sources.errors import SourceError, refuse_over
from deployments.sources.gguf_parts import model_of, parts_of
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
    """Find the weights in a folder: safetensors with a `config.json`, or else one GGUF model. Or a file of that itself.

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
        stats = [file.stat() for file in gguf]
        size = sum(stat.st_size for stat in stats) if gguf else weight_size(path)
        changed = max((stat.st_mtime_ns for stat in stats), default=0)
    except ModelFileError as error:
        raise SourceError(str(error)) from error
    except FileNotFoundError as error:
        accepted = ", ".join(str(folder) for folder in model_roots())
        raise SourceError(
            f"path: there is nothing at {source.path} on this node (accepted: a folder or a GGUF file below {accepted})"
        ) from error
    except OSError as error:
        raise SourceError(f"path: {source.path} cannot be read: {error.strerror}") from error
    if not gguf and not (path / "config.json").is_file():
        raise SourceError("the folder holds no config.json")
    refuse_over(limit, size)
    return Checkpoint(
        folder=gguf[0].parent if gguf else path,
        gguf=gguf[0].name if gguf else None,
        parts=tuple(file.name for file in gguf) if len(gguf) > 1 else (),
        name=Path(source.path).name,
        origin=source_name(source),
        revision=f"{size}-{changed}" if gguf else "",
        license="",
    )


def _gguf(path: Path) -> list[Path]:
    """The files of the GGUF model that `path` names or holds, in order; none for a folder with safetensors."""
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise SourceError("it is no GGUF file (accepted: a GGUF file, or the folder of a model)")
        return _whole(path.name, path.parent)
    names = sorted(file.name for file in path.iterdir() if file.suffix == ".gguf")
    if weight_size(path):
        return []
    first = {model_of(name): name for name in reversed(names)}
    if len(first) == 1:
        return _whole(names[0], path)
    shown = ", ".join(sorted(first.values())[:_SHOWN])
    raise SourceError(
        f"the folder holds no weights (accepted: model.safetensors, whole or in parts, or one GGUF file, or its parts; "
        f"it has {len(first)} of the latter{': name one of ' + shown if first else ''})"
    )


def _whole(name: str, folder: Path) -> list[Path]:
    """The file `name` in `folder`; of a model in parts all of them."""
    names = [file.name for file in folder.iterdir()]
    return [folder / part for part in parts_of(name, names) or (name,)]
