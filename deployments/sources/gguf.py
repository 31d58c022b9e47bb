"""The GGUF file of a model, for engines that read such files themselves; one in parts is merged.

Sources are tried in the same order as in `acquire`: first those on the node, then those that have to be fetched. If
that order leads to weights in another format, the spec wants those: a GGUF file further down the list is not used.
"""

from dataclasses import dataclass
from pathlib import Path

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import TextModelSpec, WeightLimit
from deployments.sources import hub, wheel
from deployments.sources.checkpoint import Checkpoint, source_name
from deployments.sources.errors import ModelTooLargeError, SourceError
from deployments.sources.events import Events
from deployments.sources.gguf_parts import merged
from deployments.sources.kinds import fetcher
from deployments.sources.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class NoGguf:
    """There is no GGUF file to use; `reason` says why."""

    reason: str


def find_gguf(spec: TextModelSpec, cache: Path, *, events: Events) -> Checkpoint | NoGguf:
    """Find the GGUF file of a spec. Blocks, possibly for minutes.

    Args:
        spec: the model.
        cache: the cache's folder.
        events: is told what happens.

    Raises:
        SettingsError: `MAX_MODEL_SIZE_MB` is set and is not a size.
    """
    limit = WeightLimit.of(spec).max_bytes
    store = SnapshotStore(cache)
    for source in spec.sources:
        if isinstance(source, HubSource) and source.file and (here := _cached(source, cache, limit)) is not None:
            return here
        if isinstance(source, PathSource) or (isinstance(source, WheelSource) and _is_extracted(source, cache, limit)):
            found = _try(source, spec, cache, limit, events)
            if not isinstance(found, SourceError):
                return found
        elif spec.keeps_snapshot and store.manifest(source) is not None:
            return NoGguf(f"the snapshot {source.snapshot} is on this node, and the file it was made from is not")
    for source in spec.sources:
        if not isinstance(source, PathSource):
            found = _try(source, spec, cache, limit, events)
            if not isinstance(found, SourceError):
                return found
    return NoGguf("no source has given a GGUF file")


def _try(
    source: Source, spec: TextModelSpec, cache: Path, limit: int, events: Events
) -> Checkpoint | NoGguf | SourceError:
    try:
        fetch = fetcher(source, spec, cache, limit)
        if not isinstance(source, HubSource) or source.file:  # without a file, a hub gives safetensors
            found = fetch()
            if found.gguf:
                return merged(found, cache)
    except SourceError as error:
        events.source_failed(source_name(source), error.reason)
        return error
    return NoGguf(f"{source_name(source)} is safetensors")


def _cached(source: HubSource, cache: Path, limit: int) -> Checkpoint | None:
    """The file in the cache of the hub's library, if it is there; the hub is not asked."""
    try:
        return merged(hub.cached(source, limit), cache)
    except SourceError:
        return None


def _is_extracted(source: WheelSource, cache: Path, limit: int) -> bool:
    try:
        wheel.extracted(source, cache, limit)
    except SourceError as error:
        return isinstance(error, ModelTooLargeError)  # it is here: `wheel.fetch` says what is wrong with it
    return True
