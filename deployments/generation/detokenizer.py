"""Tokens into text, piece by piece.

A token alone has no text: it may be half a character, or a word whose space depends on the one before. So a window of
tokens is decoded with and without the new one, and the difference is its text. The algorithm is that of Hugging Face's
text-generation-inference (`decode_token` in `server/text_generation_server/models/model.py`).
"""

from collections.abc import Callable, Sequence

_INCOMPLETE = "�"
"""What half a character decodes to."""

Decode = Callable[[Sequence[int]], str]


class Pieces:
    """Gives the text of tokens as soon as it is certain, up to the first stop text."""

    def __init__(self, decode: Decode, stops: Sequence[str] = (), swallow: str = "") -> None:
        """Begin behind a prompt.

        Args:
            decode: tokens to text, special ones left out.
            stops: texts that end the generation; none of them is given.
            swallow: white space that stands already, and is not given once more should the text begin with it.
        """
        self.stopped = False
        self._decode = decode
        self._stops = tuple(stops)
        self._swallow = swallow
        self._ids: list[int] = []
        self._prefix = 0
        self._read = 0
        self._held = ""

    def windows(self, token: int) -> Sequence[Sequence[int]]:
        """What `add` of this token will decode."""
        return self._ids[self._prefix : self._read], [*self._ids[self._prefix :], token]

    def add(self, token: int) -> str:
        """The text that is certain now that `token` has come; perhaps none."""
        self._ids.append(token)
        known = self._decode(self._ids[self._prefix : self._read])
        text = self._decode(self._ids[self._prefix :])
        if len(text) <= len(known) or text.endswith(_INCOMPLETE):
            return ""
        self._prefix, self._read = self._read, len(self._ids)
        return self._pass(text[len(known) :])

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        known = self._decode(self._ids[self._prefix : self._read])
        rest = self._decode(self._ids[self._prefix :])[len(known) :]
        text = self._pass(rest.rstrip(_INCOMPLETE)) if rest else ""
        held, self._held = self._held, ""
        return text if self.stopped else text + held

    def _pass(self, text: str) -> str:
        if self.stopped:
            return ""
        text = self._held + self._without_what_stands(text)
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        keep = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _without_what_stands(self, text: str) -> str:
        while self._swallow and text:
            if text[0] != self._swallow[0]:
                self._swallow = ""
            else:
                text, self._swallow = text[1:], self._swallow[1:]
        return text


def trailing_space(text: str) -> str:
    """The white space at the end of `text`."""
    return text[len(text.rstrip()) :]


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
