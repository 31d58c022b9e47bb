"""What a model is doing, in the words of `/status`."""

from enum import StrEnum
from typing import Any


class ServingState(StrEnum):
    """Whether the replicas of a model take requests."""

    READY = "ready"  # one takes requests
    LOADING = "loading"  # none takes requests yet
    IDLE = "idle"  # scaled to zero: the first request is refused, and has a replica started
    FAILED = "failed"  # its version could not be started, or its replica says that it cannot load the model

    @classmethod
    def of(cls, described: Any) -> "ServingState":
        """Return the state in the description that a replica gives of itself; `LOADING` where it says none."""
        said = described.get("state")
        return cls(said) if said in list(cls) else cls.LOADING
