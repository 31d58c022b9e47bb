"""Takes what a model thinks out of its text: `<think>…</think>` at its beginning.

That is how servers without a reasoning parser give it. llama.cpp, Ollama and LiteLLM take it out by default; it becomes
`reasoning_content`, as with a reasoning parser. `<thinking>` is no such tag: no chat template writes it, but callers
ask for it in words, and mean it as a part of the answer. `<reasoning>` is both: a tag of models (Reka), unless the
request speaks of it. A tag counts only at the very beginning of a text: behind that
it may be meant. A text that begins in the middle of its thoughts (a chat template that writes the opening tag itself)
cannot be told from an answer while it is streamed, and is passed on as it is.
"""

from collections.abc import Collection
from enum import Enum

from deployments.request import InferenceRequest

_TAGS = {"<think>": "</think>", "[THINK]": "[/THINK]", "<thought>": "</thought>", "<seed:think>": "</seed:think>"}
_ALSO_ASKED_FOR = {"<reasoning>": "</reasoning>"}
_ALL_TAGS = _TAGS | _ALSO_ASKED_FOR
_MOST_SPACE = 1024
"""Characters of white space before a text that are held back until it is clear whether a tag follows."""


class _Place(Enum):
    BEGINNING = "beginning"
    THOUGHTS = "thoughts"
    BEHIND = "behind"  # behind the thoughts, before the first visible character
    TEXT = "text"


def tags_asked_for(request: InferenceRequest) -> tuple[str, ...]:
    """Return the tags that a request speaks of, of those that may be meant as a part of the answer."""
    texts = [request.text, request.prefix, *(turn["content"] for turn in request.messages)]
    return tuple(tag for tag in _ALSO_ASKED_FOR if any(tag in text for text in texts))


class ThoughtSplitter:
    """Splits the pieces of a text into thoughts and text."""

    def __init__(self, *, splits: bool = True, asked_for: Collection[str] = ()) -> None:
        """Begin before the first piece.

        Args:
            splits: there may be thoughts; else all of it is text.
            asked_for: the tags that the request speaks of; see `tags_asked_for`.
        """
        self._place = _Place.BEGINNING if splits else _Place.TEXT
        self._tags = _TAGS if asked_for else _ALL_TAGS
        self._held = ""
        self._end = ""

    @property
    def is_behind(self) -> bool:
        """Whether all that follows is text."""
        return self._place is _Place.TEXT

    def feed(self, piece: str, *, apart: bool = False) -> tuple[str, str]:
        """Return the thoughts and the text that can be told by now.

        Args:
            piece: the next piece.
            apart: thoughts have come in a field of their own, so that a tag at the beginning is a remainder of the
                model's format: the tag is dropped, and what follows is text.
        """
        if self._place is _Place.TEXT:
            return "", piece
        thoughts = ""
        self._held += piece
        if self._place is _Place.BEGINNING:
            self._begin(apart=apart)
        if self._place is _Place.THOUGHTS:
            thoughts = self._think()
        if self._place is _Place.BEHIND:
            self._held = self._held.lstrip()
            if self._held:
                self._place = _Place.TEXT
        if self._place is not _Place.TEXT:
            return thoughts, ""
        text, self._held = self._held, ""
        return thoughts, text

    def finish(self) -> tuple[str, str]:
        """Return the thoughts and the text that were held back."""
        held, self._held = self._held, ""
        return (held, "") if self._place is _Place.THOUGHTS else ("", held if self._place is _Place.BEGINNING else "")

    def _begin(self, *, apart: bool) -> None:
        bare = self._held.lstrip()
        if apart:
            opened = next((tag for tag in (*self._tags, *self._tags.values()) if bare.startswith(tag)), "")
            if opened:
                self._held, self._place = bare[len(opened) :], _Place.BEHIND
                return
        tag = next((tag for tag in self._tags if bare.startswith(tag)), "")
        if tag:
            self._end = self._tags[tag]
            self._held, self._place = bare[len(tag) :], _Place.THOUGHTS
        elif not any(tag.startswith(bare) for tag in self._tags) or len(self._held) > _MOST_SPACE:
            self._place = _Place.TEXT

    def _think(self) -> str:
        thoughts, end, rest = self._held.partition(self._end)
        if end:
            self._held, self._place = rest, _Place.BEHIND
            return thoughts
        keep = next((size for size in range(len(self._end) - 1, 0, -1) if thoughts.endswith(self._end[:size])), 0)
        self._held = thoughts[len(thoughts) - keep :]
        return thoughts[: len(thoughts) - keep]
