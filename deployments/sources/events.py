"""What `sources` tells whoever runs it. `log.SourceEvents` makes log lines of it."""

from typing import Protocol


class Events(Protocol):
    """One method per event. Names of snapshots are as in `Source.snapshot`, reasons hold no credentials."""

    def source_tried(self, source: str) -> None:
        """A source is asked for the weights, which may take minutes."""
        ...

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        """A snapshot was verified and mapped."""
        ...

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        """A snapshot of `size` bytes was published."""
        ...

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        """A snapshot failed verification and is rebuilt."""
        ...

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        """No snapshot could be written; the model is served all the same."""
        ...

    def source_failed(self, source: str, reason: str) -> None:
        """A source could not give the weights; the next is tried."""
        ...

    def source_loaded(self, source: str, seconds: float) -> None:
        """A source gave the weights."""
        ...

    def waiting_for_builder(self, name: str) -> None:
        """Another process of this node is building the snapshot; repeated while it lasts."""
        ...
