"""The conversion of a spec's weights for the fast engine of CPUs: found on the node, or made of what `acquire` gives.

A conversion goes before the weights it was made from, as a snapshot does: nothing is asked for over the network, and
torch and transformers are not imported. Sources that come first in the spec and are on the node go before it.
"""

from dataclasses import dataclass
from pathlib import Path

from deployments.settings.sources import PathSource, Source
from deployments.settings.specs import TextModelSpec, WeightLimit
from deployments.sources import path
from deployments.sources.acquire import acquire
from deployments.sources.checkpoint import LoadedModel, source_name
from deployments.sources.converted import Conversions, Converted
from deployments.sources.errors import SourceError, describe_error
from deployments.sources.events import Events
from deployments.sources.gguf_writing import NotConvertibleError
from deployments.sources.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class Unconverted:
    """The weights were loaded, and the fast engine cannot have them; `reason` says why."""

    loaded: LoadedModel
    reason: str


def convert_weights(
    spec: TextModelSpec, cache: Path, *, events: Events, again: bool = False
) -> Converted | Unconverted:
    """The conversion for `spec`. Blocks, possibly for minutes, where there is none yet.

    Args:
        spec: the model.
        cache: the cache's folder.
        events: is told what happens.
        again: try a conversion that has failed before; otherwise its reason then is the reason.

    Raises:
        NotConvertibleError: the spec keeps nothing of its weights, which were not loaded.
        NoSourceError: no source has them.
    """
    if not spec.keeps_snapshot:
        raise NotConvertibleError("nothing that is made of its weights is kept (snapshot: false)")
    limit = WeightLimit.of(spec).max_bytes
    conversions = Conversions(cache, events)
    for source in spec.sources:
        if (found := conversions.find(source, limit)) is not None:
            return found
        if _on_node(source, cache):
            break  # `acquire` takes this one
    loaded = acquire(spec, cache, "auto", events=events)
    source = next(source for source in spec.sources if source_name(source) == loaded.origin)
    try:
        return conversions.convert(source, loaded, limit, again=again)
    except SourceError as error:
        return Unconverted(loaded, error.reason)
    except Exception as error:  # noqa: BLE001 - whatever its libraries make of odd weights: transformers has them loaded
        return Unconverted(loaded, f"it cannot be converted: {describe_error(error)}")


def _on_node(source: Source, cache: Path) -> bool:
    if isinstance(source, PathSource):
        return path.exists(source)
    return SnapshotStore(cache).manifest(source) is not None
