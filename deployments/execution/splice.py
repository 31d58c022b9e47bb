"""The splicer between a text that broke off and what another model writes behind it.

A model of our own carries on by the token, so its text needs no splicer. One behind an API is given the text as a
trailing assistant's message, and does one of four things with it:

    it carries on                               passed on as it is
    it repeats the end of the text first        the overlap is removed
    it begins with a space the text ends with   one of them is removed (many providers strip trailing white space)
    it writes the whole answer once more        StartsOverError: the next candidate is asked

What is held back for that is at most `OVERLAP_WINDOW` characters, and no more than it takes to tell these apart.

A repetition is only taken for one of the model's mistakes where a writer would hardly have meant it:

- an overlap of `MIN_OVERLAP` characters or more with letters in it, which does not itself repeat a shorter text
  ("ha ha ha ha ha", a table's rule);
- the word that the text broke off in, said again from its beginning ("contin" + "continuation");
- the whole text so far, however short, if it is `MIN_WHOLE` characters or more with letters in it.

A text that means one of these loses the repetition. That is the price: between "said twice" and "meant twice" nothing
in the characters decides.
"""

OVERLAP_WINDOW = 200
MIN_OVERLAP = 12
MIN_WHOLE = 4
MIN_WORD = 3
STARTS_OVER = 24
"""Characters, white space aside, that a beginning has in common with the text's own to be taken for it."""


class StartsOverError(Exception):
    """The model writes the answer from its beginning."""

    def __init__(self) -> None:
        super().__init__("it starts over instead of carrying on")


class Splicer:
    """Gives what carries on right behind `prefix`, from what a model wrote to carry on with it."""

    def __init__(self, prefix: str) -> None:
        """Join to `prefix`, the text so far; an empty one has no splicer."""
        self._tail = prefix[-OVERLAP_WINDOW:]
        self._is_whole = len(prefix) <= OVERLAP_WINDOW
        self._beginning = _squeezed(prefix[: STARTS_OVER * 8])[:STARTS_OVER]
        self._held = ""
        self._open = not prefix

    def feed(self, piece: str) -> str:
        """Take the next piece; gives what may be passed on by now, perhaps nothing.

        Raises:
            StartsOverError: the model starts over.
        """
        if self._open:
            return piece
        self._held += piece
        if self._starts_over():
            raise StartsOverError
        if self._undecided():
            return ""
        return self._let_through()

    def finish(self) -> str:
        """What was held back when the model came to its end."""
        return "" if self._open else self._let_through()

    def _starts_over(self) -> bool:
        written = _squeezed(self._held)
        is_long = len(self._beginning) == STARTS_OVER
        return is_long and len(written) >= STARTS_OVER and written.startswith(self._beginning) and not self._overlap()

    def _undecided(self) -> bool:
        """Whether what comes next can still change the verdict."""
        held = self._held
        if len(held) >= OVERLAP_WINDOW + STARTS_OVER * 8:
            return False
        written = _squeezed(held)
        if len(self._beginning) == STARTS_OVER and len(written) < STARTS_OVER and self._beginning.startswith(written):
            return True
        if self._tail.endswith(" ") and held == " ":
            return True
        return any(self._tail[-size:].startswith(held) for size in range(len(held), len(self._tail) + 1))

    def _let_through(self) -> str:
        held, self._held, self._open = self._held, "", True
        size = self._overlap_of(held)
        if size:
            return held[size:]
        if self._tail.endswith(" ") and held.startswith(" ") and not self._tail.endswith("  ") and held[1:2] != " ":
            return held[1:]
        return held

    def _overlap(self) -> int:
        return self._overlap_of(self._held)

    def _overlap_of(self, held: str) -> int:
        """How much of `held` says again what the text ends with."""
        for size in range(min(len(held), len(self._tail)), 0, -1):
            if self._tail.endswith(held[:size]) and self._is_mistake(held, size):
                return size
        return 0

    def _is_mistake(self, held: str, size: int) -> bool:
        again = held[:size]
        if not any(char.isalpha() for char in again):
            return False
        if self._is_whole and size == len(self._tail):
            return size >= MIN_WHOLE and not _repeats_itself(again)
        if size >= MIN_OVERLAP:
            return not _repeats_itself(again)
        # The word the text broke off in: it is a whole word of the text so far, and goes on in what was written.
        before = self._tail[-size - 1 : -size]
        broken_off = again.isalpha() and not before.isalpha() and held[size : size + 1].isalpha()
        return size >= MIN_WORD and broken_off and not _repeats_itself(again)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _repeats_itself(text: str) -> bool:
    """Whether `text` is a shorter one over and over, the last time perhaps only begun."""
    return any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1))
