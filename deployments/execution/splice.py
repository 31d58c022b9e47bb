"""Splices a continuation onto a text that broke off: removes what the model repeats.

A model of our own continues by the token, so its text needs no splicer. A model behind an API is given the text as a
trailing assistant message, and does one of four things:

    it continues the text                       passed on as it is
    it repeats the end of the text first        the overlap is removed
    it begins with a space the text ends with   one of the two is removed (many providers strip trailing white space)
    it writes the whole answer once more        StartsOverError: the next candidate is asked

The splicer holds text back only until it can tell these apart, which takes a few hundred characters at the most.

A repetition counts as a mistake of the model only where a writer would hardly have meant it:

- an overlap of at least `MIN_OVERLAP` characters with letters in it, which is not itself a shorter text over and over
  ("ha ha ha ha ha", a table's rule);
- the word in which the text broke off, written again from its beginning ("contin" + "continuation");
- the whole text so far, if it has at least `MIN_WHOLE` characters with letters in it.

A text that means such a repetition loses it: the characters do not tell "said twice" from "meant twice".
"""

OVERLAP_WINDOW = 200
MIN_OVERLAP = 12
MIN_WHOLE = 4
MIN_WORD = 3
STARTS_OVER = 24
"""Characters, white space aside, by which the beginning of the text is recognised when a model writes it again."""


class StartsOverError(Exception):
    """The model writes the answer again from its beginning."""

    def __init__(self) -> None:
        super().__init__("it starts over instead of carrying on")


class Splicer:
    """Passes the text of a model on, without what it repeats of `prefix`."""

    def __init__(self, prefix: str) -> None:
        """Splice onto `prefix`, the text so far; behind an empty prefix every piece is passed on as it is."""
        self._tail = prefix[-OVERLAP_WINDOW:]
        self._is_whole = len(prefix) <= OVERLAP_WINDOW
        self._beginning = _without_space(prefix[: STARTS_OVER * 8])[:STARTS_OVER]
        self._held = ""
        self._open = not prefix

    def feed(self, piece: str) -> str:
        """Take the next piece, and return the text that can be passed on by now; it may be empty.

        Raises:
            StartsOverError: the model writes the answer again from its beginning.
        """
        if self._open:
            return piece
        self._held += piece
        if self._starts_over():
            raise StartsOverError
        if self._undecided():
            return ""
        return self._release()

    def finish(self) -> str:
        """Return the text that is still held back; to be called at the end of the model's text."""
        return "" if self._open else self._release()

    def _starts_over(self) -> bool:
        is_long = len(self._beginning) == STARTS_OVER
        return is_long and _without_space(self._held).startswith(self._beginning) and not self._overlap_of(self._held)

    def _undecided(self) -> bool:
        """Return whether the next piece can still change what is removed."""
        held = self._held
        if len(held) >= OVERLAP_WINDOW + STARTS_OVER * 8:
            return False
        written = _without_space(held)
        if len(self._beginning) == STARTS_OVER and len(written) < STARTS_OVER and self._beginning.startswith(written):
            return True
        if self._tail.endswith(" ") and held == " ":
            return True
        return any(self._tail[-size:].startswith(held) for size in range(len(held), len(self._tail) + 1))

    def _release(self) -> str:
        held, self._held, self._open = self._held, "", True
        size = self._overlap_of(held)
        if size:
            return held[size:]
        if self._tail.endswith(" ") and held.startswith(" ") and not self._tail.endswith("  ") and held[1:2] != " ":
            return held[1:]
        return held

    def _overlap_of(self, held: str) -> int:
        """Return how many characters at the start of `held` repeat the end of the text by mistake."""
        for size in range(min(len(held), len(self._tail)), 0, -1):
            if self._tail.endswith(held[:size]) and self._is_mistake(held, size):
                return size
        return 0

    def _is_mistake(self, held: str, size: int) -> bool:
        again = held[:size]
        if not any(char.isalpha() for char in again):
            return False
        if self._is_whole and size == len(self._tail):
            return size >= MIN_WHOLE and not repeats_itself(again)
        if size >= MIN_OVERLAP:
            return not repeats_itself(again)
        # The word in which the text broke off: in the text a word starts here, and in what was written it goes on.
        before = self._tail[-size - 1 : -size]
        broken_off = again.isalpha() and not before.isalpha() and held[size : size + 1].isalpha()
        return size >= MIN_WORD and broken_off and not repeats_itself(again)


def _without_space(text: str) -> str:
    return "".join(text.split())


def repeats_itself(text: str) -> bool:
    """Return whether `text` is a shorter text over and over; the last repetition may be cut short."""
    return any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1))
