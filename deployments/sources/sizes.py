"""The size of a model's weights, from what is on this node: nothing is fetched, and no weight is read."""

from dataclasses import dataclass
from pathlib import Path

from deployments.settings import FileSpec, TextModelSpec, WeightLimit
from deployments.sources.errors import ModelTooLargeError, SourceError
from deployments.sources.gguf_q8 import prepared_size
from deployments.sources.kinds import on_node
from deployments.sources.model_file import open_model_file
from deployments.sources.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The size of a model's weights on this node.

    Attributes:
        origin: what they would be read from.
        size: their bytes.
        shared: whether the replicas of a node map them and share one copy.
    """

    origin: str
    size: int
    shared: bool = False


def size_of_file(spec: FileSpec) -> ModelSize | None:
    """The size of the file of `spec`, which is verified; `None` if it is not on this node.

    Raises:
        ModelFileError: the file would be refused.
        ModelTooLargeError: it is over the limit.
    """
    try:
        with open_model_file(spec) as file:
            return ModelSize(spec.path, file.seek(0, 2))
    except FileNotFoundError:
        return None


def size_of_gguf(spec: TextModelSpec, cache: Path) -> ModelSize | None:
    """The size of the GGUF file that OpenVINO would read; `None` if it is not on this node, or the spec has none.

    Raises:
        ModelTooLargeError: it is over the limit.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and is not a size.
    """
    limit = WeightLimit.of(spec).max_bytes
    for source in spec.sources:
        try:
            found = on_node(source, cache, limit)
        except ModelTooLargeError:
            raise
        except SourceError:
            continue  # not on this node: the next source may be
        if found.gguf is None:
            return None
        size = found.size() if found.parts else prepared_size(found.folder / found.gguf, cache)
        return ModelSize(found.origin, size, shared=True)
    return None


def size_of_weights(spec: TextModelSpec, cache: Path) -> ModelSize | None:
    """The size of the first source of `spec` whose weights are on this node; `None` if all have to be fetched.

    Raises:
        ModelTooLargeError: all weights that are on this node are over the limit.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and is not a size.
    """
    limit = WeightLimit.of(spec).max_bytes
    store = SnapshotStore(cache)
    for source in spec.sources if spec.keeps_snapshot else ():
        manifest = store.manifest(source)
        if manifest is not None and manifest.weight_bytes <= limit:
            return ModelSize(f"snapshot {source.snapshot}", manifest.weight_bytes, shared=True)
    too_large: ModelTooLargeError | None = None
    for source in spec.sources:
        try:
            found = on_node(source, cache, limit)
        except ModelTooLargeError as error:
            too_large = error
        except SourceError:
            continue  # not on this node: the next source may be
        else:
            return ModelSize(found.origin, found.size())
    if too_large is not None:
        raise too_large
    return None
