"""What can go wrong with weights.

SourceError             a source cannot give the weights; the next one is tried
  ModelTooLargeError    it could, but they are over the limit; they are not read
SnapshotNotKeptError    no snapshot could be written; the model is served all the same
NoSourceError           no source could give the weights
"""

import re

_LONGEST = 400


class SourceError(Exception):
    """A source cannot give the weights; the next one is tried.

    Attributes:
        reason: why, for operators; on one line, without addresses and credentials.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelTooLargeError(SourceError):
    """The weights are over the limit. They have not been read."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"its weights are {size:,} bytes, over the limit of {limit:,}")
        self.size, self.limit = size, limit

    def __reduce__(self) -> tuple[type["ModelTooLargeError"], tuple[int, int]]:
        """Pickle by its parts: it may cross processes."""
        return type(self), (self.size, self.limit)


class SnapshotNotKeptError(Exception):
    """No snapshot could be written.

    Attributes:
        reason: why, for operators.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoSourceError(Exception):
    """No source could give the weights.

    Attributes:
        failures: each source with its reason, in the order in which they were tried.
    """

    def __init__(self, failures: tuple[tuple[str, str], ...]) -> None:
        tried = "; ".join(f"{source}: {reason}" for source, reason in failures)
        super().__init__(f"no source could give the weights ({tried})")
        self.failures = failures

    def __reduce__(self) -> tuple[type["NoSourceError"], tuple[tuple[tuple[str, str], ...]]]:
        """Pickle by its parts: it may cross processes."""
        return type(self), (self.failures,)


def refuse_over(limit: int, size: int) -> None:
    """Raise `ModelTooLargeError` where `size` is over `limit`; both are in bytes."""
    if size > limit:
        raise ModelTooLargeError(size, limit)


def plain(text: object) -> str:
    """`text` as a reason: on one line, its end where it is long, and without addresses, which may hold credentials."""
    line = " ".join(re.sub(r"\w[\w+.-]*://\S+", "<address>", str(text)).split())
    return line if len(line) <= _LONGEST else "…" + line[-_LONGEST:]


def said_by(error: BaseException) -> str:
    """An exception of other people's code as a reason."""
    return plain(f"{type(error).__name__}: {error}")
