"""What a response says, whatever its format."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class UnreadableError(Exception):
    """A response is not what its format says."""


@dataclass(slots=True)
class Told:
    """One answer, whatever its format.

    Attributes:
        text: what it says; empty where it only calls tools.
        model: who it says has answered.
        served_by: its tier; empty where its format tells that of the first choice only.
        attempts: as they were told; empty as `served_by`.
        finish_reason: as its format has it.
        refusal: it says that there is no answer in the demanded form.
        tool_calls: of functions.
        writers: of a stream, each model that wrote of it, in order.
    """

    text: str
    model: str
    served_by: str
    degraded: bool
    attempts: list[dict[str, Any]]
    finish_reason: str
    refusal: bool = False
    tool_calls: list[Any] = field(default_factory=list)
    writers: list[str] = field(default_factory=list)

    @property
    def is_last_resort(self) -> bool:
        """Nobody has answered."""
        return self.model == "last_resort"


def events_of(body: bytes) -> Iterator[tuple[str, str]]:
    """The name and the data of each event of a stream, but for comments."""
    if not body.endswith(b"\n\n"):
        raise UnreadableError(f"the last event is cut: {body[-60:]!r}")
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]  # a comment is a sign of life
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            yield fields.get("event", ""), fields["data"]


def told_by(body: dict[str, Any], text: str, *, refusal: bool, calls: list[Any]) -> Told:
    """What a body says whose trace is in `neverblank`."""
    provenance = body["neverblank"]
    return Told(
        text,
        body["model"],
        provenance["served_by"],
        provenance["degraded"],
        provenance["attempts"],
        provenance["finish_reason"],
        refusal=refusal,
        tool_calls=calls,
    )
