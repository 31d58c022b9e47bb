"""The errors of this room.

SourceError                a source cannot give the weights; the next one is tried
  ModelTooLargeError       the weights are over the limit; they are not read
  ExportError              OpenVINO cannot write the model in its IR format; another form or engine is used
  InterruptedExportError   the same, for a reason that is none of the model's
  gguf_writing.NotConvertibleError   the fast engine of CPUs does not read models of this kind
SnapshotNotKeptError       a snapshot could not be written; the model is served without it
CorruptSnapshotError       a file is not a valid snapshot; it is moved to the quarantine
NoSourceError              no source could give the weights
model_file.ModelFileError  the file of a `pickle` or `pytorch` model is refused
"""

import re

_LONGEST = 400


class SourceError(Exception):
    """A source cannot give the weights; the next one is tried.

    Attributes:
        reason: why, for operators; one line, without addresses and credentials.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelTooLargeError(SourceError):
    """The weights are over the limit, and have not been read."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"its weights are {size:,} bytes, over the limit of {limit:,}")
        self.size, self.limit = size, limit

    def __reduce__(self) -> tuple[type["ModelTooLargeError"], tuple[int, int]]:
        """Pickle the arguments: the error may be raised in another process."""
        return type(self), (self.size, self.limit)


class ExportError(SourceError):
    """OpenVINO cannot write a model in its IR format, or that cannot be stored; another form or engine is used."""


class InterruptedExportError(ExportError):
    """The export was killed, took too long or had no room: that says nothing of the model, and is not remembered."""


class CorruptSnapshotError(ValueError):
    """A file is not a valid snapshot, or no model can be made of it."""


class SnapshotNotKeptError(Exception):
    """A snapshot could not be written.

    Attributes:
        reason: why, for operators.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoSourceError(Exception):
    """No source could give the weights.

    Attributes:
        failures: each source and the reason, in the order in which they were tried.
    """

    def __init__(self, failures: tuple[tuple[str, str], ...]) -> None:
        tried = "; ".join(f"{source}: {reason}" for source, reason in failures)
        super().__init__(f"no source could give the weights ({tried})")
        self.failures = failures

    def __reduce__(self) -> tuple[type["NoSourceError"], tuple[tuple[tuple[str, str], ...]]]:
        """Pickle the arguments: the error may be raised in another process."""
        return type(self), (self.failures,)


def refuse_over(limit: int, size: int) -> None:
    """Raise `ModelTooLargeError` if `size` is over `limit`; both are in bytes."""
    if size > limit:
        raise ModelTooLargeError(size, limit)


def redact(text: object) -> str:
    """`text` on one line, without addresses, which may contain credentials; of a long text only the end."""
    line = " ".join(re.sub(r"\w[\w+.-]*://\S+", "<address>", str(text)).split())
    return line if len(line) <= _LONGEST else "…" + line[-_LONGEST:]


def describe_error(error: BaseException) -> str:
    """The type and the redacted text of an exception."""
    return redact(f"{type(error).__name__}: {error}")
