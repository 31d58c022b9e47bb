"""How large a model is, from what is on this node: nothing is fetched, and no weight is read."""

from dataclasses import dataclass
from pathlib import Path

from deployments.settings import FileSpec, HubSource, PathSource, TextModelSpec, WeightLimit, WheelSource
from deployments.sources import hub, path, wheel
from deployments.sources.checkpoint import label
from deployments.sources.errors import ModelTooLargeError, SourceError
from deployments.sources.gguf_q8 import readable_size
from deployments.sources.model_file import opened
from deployments.sources.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model's weights on this node.

    Attributes:
        origin: what they would be read from.
        size: their bytes.
        shared: replicas of one node map them, and share one copy.
    """

    origin: str
    size: int
    shared: bool = False


def weigh_file(spec: FileSpec) -> Weighed | None:
    """The file of `spec`, verified; `None` where it is not there.

    Raises:
        ArtefactError: it would be refused.
        ModelTooLargeError: it is over the limit.
    """
    try:
        with opened(spec) as file:
            return Weighed(spec.path, file.seek(0, 2))
    except FileNotFoundError:
        return None


def weigh_gguf(spec: TextModelSpec, cache: Path) -> Weighed | None:
    """The GGUF file that openvino would read, as far as it is on this node; `None` where it is not, or there is none.

    Raises:
        ModelTooLargeError: it is over the limit.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and cannot be used.
    """
    limit = WeightLimit.of(spec).max_bytes
    for source in spec.sources:
        try:
            match source:
                case PathSource():
                    found = path.find(source, limit)
                    file = found.folder / found.gguf if found.gguf else None
                case WheelSource():
                    wheel.kept_size(source, cache, limit)
                    file = wheel.place(source, cache)
                case HubSource():
                    hub.cached_size(source, limit)
                    file = None
        except ModelTooLargeError:
            raise
        except SourceError:
            continue  # not here: the next one may be
        return None if file is None else Weighed(label(source), readable_size(file, cache), shared=True)
    return None


def weigh_weights(spec: TextModelSpec, cache: Path) -> Weighed | None:
    """The first source of `spec` whose weights are on this node; `None` where they have yet to be fetched.

    Raises:
        ModelTooLargeError: every one that is here is over the limit.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and cannot be used.
    """
    limit = WeightLimit.of(spec).max_bytes
    store = SnapshotStore(cache)
    for source in spec.sources if spec.keeps_snapshot else ():
        manifest = store.manifest(source)
        if manifest is not None and manifest.weight_bytes <= limit:
            return Weighed(f"snapshot {source.snapshot}", manifest.weight_bytes, shared=True)
    too_large: ModelTooLargeError | None = None
    for source in spec.sources:
        try:
            match source:
                case PathSource():
                    size = path.size_of(source, limit)
                case WheelSource():
                    size = wheel.kept_size(source, cache, limit)
                case HubSource():
                    size = hub.cached_size(source, limit)
        except ModelTooLargeError as error:
            too_large = error
        except SourceError:
            continue  # not here: the next one may be
        else:
            return Weighed(label(source), size)
    if too_large is not None:
        raise too_large
    return None
