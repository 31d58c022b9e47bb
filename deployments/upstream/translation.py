"""What turns the events of another format into the chunks of OpenAI's chats, which are read and judged in one place."""

from collections.abc import Mapping
from typing import Any, Protocol


class Translator(Protocol):
    """Translates the events of one response, or the whole answer that came in their place.

    Attributes:
        is_over: its last event has come; nothing that follows counts.
    """

    is_over: bool

    def read(self, value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Return what an event is in chunks and completions of chats; `None` where it is none of its format."""
        ...


AT_WORK: list[dict[str, Any]] = []
"""What `read` returns, this very list, for an event that has no content yet and shows that the model is at work."""


def chunk_of(delta: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a chunk with one choice; `more` are fields of the choice."""
    return {"choices": [{"index": 0, "delta": delta, **more}]}


def completion_of(message: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a whole completion with one choice; `more` are fields of the choice."""
    return {"choices": [{"index": 0, "message": {"content": None, **message}, **more}]}
