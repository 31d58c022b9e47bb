"""The events of this room, which its callers may log. `log.SourceEvents` writes them as log lines."""

from typing import Protocol


class Events(Protocol):
    """One method for each event. Snapshots are named as in `Source.snapshot`, and reasons contain no credentials."""

    def source_tried(self, source: str) -> None:
        """A source is asked for the weights, which may take minutes."""
        ...

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        """A snapshot was verified and mapped."""
        ...

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        """A snapshot of `size` bytes was published."""
        ...

    def conversion_begun(self, name: str) -> None:
        """The form for the fast engine of CPUs is made; it is told by `snapshot_built` when it is there."""
        ...

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        """A snapshot failed verification, was moved to the quarantine, and is built again."""
        ...

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        """A snapshot could not be written; the model is served without it."""
        ...

    def source_failed(self, source: str, reason: str) -> None:
        """A source could not give the weights; the next one is tried."""
        ...

    def source_loaded(self, source: str, seconds: float) -> None:
        """A source gave the weights."""
        ...

    def waiting_for_builder(self, name: str) -> None:
        """Another process of this node is building the snapshot; repeated until it is done."""
        ...
