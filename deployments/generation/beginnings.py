"""Long prompts are read piece by piece, and what has been read of them is known.

An engine that keeps the keys and values of what it has read takes them up for the next prompt that begins alike. So a
piece is read by a request of its own, which has the prompt up to the piece's end and writes a single token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from deployments.generation import Sampling
from deployments.generation.sequence import BatchedSequence, EngineRequest

_KNOWN = 4096  # beginnings that the engine is taken to keep
_SPARE_STEPS = 2  # that it may take for a piece beyond those for the tokens before it


@dataclass(eq=False, slots=True)
class Part:
    """What an engine is given of a sequence: all of it, or a beginning of its prompt.

    Attributes:
        sequence: whose prompt it is.
        end: its tokens, from the begin of the prompt.
        size: those of them that have not been read before.
        most_steps: that reading it takes where the engine has kept what it had read.
        request: the request inside the engine; `None` until it was added.
        steps: that it has taken so far.
    """

    sequence: BatchedSequence
    end: int
    size: int
    most_steps: int = 0
    request: EngineRequest | None = None
    steps: int = 0

    @property
    def is_all(self) -> bool:
        """Whether it is the whole prompt: the sequence joins the batch."""
        return self.end == len(self.sequence.tokens)

    @property
    def tokens(self) -> Sequence[int]:
        """What the engine reads."""
        return self.sequence.tokens if self.is_all else self.sequence.tokens[: self.end]

    @property
    def sampling(self) -> Sampling:
        """What the engine writes; behind a beginning one token, which nobody is told."""
        return self.sequence.sampling if self.is_all else Sampling(1, 0.0, self.sequence.sampling.budget_s)


class Beginnings:
    """What an engine has read of prompts, in whole pieces.

    It may have kept less of it: then it reads again what it has lost. The prompt that meets this is read in pieces no
    more, as each of them might be read from the begin again.
    """

    def __init__(self, piece: int) -> None:
        """Know none.

        Args:
            piece: tokens of a piece; 0 for an engine that keeps nothing.
        """
        self._piece = piece
        self._known: dict[int, None] = {}

    def arrived(self, sequence: BatchedSequence) -> None:
        """Find out what has been read of a prompt already, for others that began alike."""
        if self._piece and len(sequence.tokens) > self._piece:
            sequence.marks = _marks(sequence.tokens, self._piece)
            known = list(takewhile(self._known.__contains__, sequence.marks))
            sequence.read = self._piece * len(known)

    def next_of(self, sequence: BatchedSequence) -> Part:
        """Return what is to be read of a prompt next: a piece, or all that is left of it if that is no more."""
        size = len(sequence.tokens)
        end = min(sequence.read + self._piece, size) if sequence.marks else size
        return Part(sequence, end, end - sequence.read)

    def read(self, part: Part) -> None:
        """Know that a part has been read."""
        marks = part.sequence.marks
        if not marks:
            return
        for mark in marks[: part.end // self._piece]:
            self._known[mark] = self._known.pop(mark, None)  # to the end: the least used are forgotten first
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]
        part.sequence.read = part.end
        if part.steps > part.most_steps:
            part.sequence.marks = ()

    def steps_for(self, tokens: int) -> int:
        """The most steps in which an engine reads so many tokens, if no step reads less than half a piece."""
        return _SPARE_STEPS + (2 * tokens // self._piece if self._piece else 0)


def _marks(tokens: Sequence[int], piece: int) -> tuple[int, ...]:
    """A number for each beginning of whole pieces: those of prompts that begin alike are the same."""
    marks, mark = [], 0
    for end in range(piece, len(tokens) + 1, piece):
        mark = hash((mark, *tokens[end - piece : end]))
        marks.append(mark)
    return tuple(marks)
