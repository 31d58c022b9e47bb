"""When a sequence with a new grammar may join a batch: the engine compiles it within a step, and all wait for that."""

import math
from collections.abc import Sequence

from deployments.generation.grammar import Grammar
from deployments.generation.sequence import BatchedSequence

_KNOWN = 256  # grammars that the engine is taken to have compiled
_REST = 3.0
"""After a new grammar was compiled, none joins for so many times the longest step of that time: those who are in the
batch meanwhile keep three quarters of the engine, whatever forms some caller sends."""


class GrammarTurns:
    """Lets one new grammar at a time to the engine, and the others rest in between."""

    def __init__(self) -> None:
        """Know no grammar."""
        self._known: dict[Grammar, None] = {}
        self._compiling: BatchedSequence | None = None
        self._longest_s = 0.0
        self._next = -math.inf

    def is_new(self, sequence: BatchedSequence) -> bool:
        """Whether the engine compiles a grammar when `sequence` joins."""
        grammar = sequence.sampling.grammar
        return grammar is not None and grammar not in self._known

    def is_open(self, now: float, *, is_alone: bool) -> bool:
        """Whether a new grammar may join `now`; where nobody else is there (`is_alone`), none rests."""
        return self._compiling is None and (is_alone or now >= self._next)

    def begin(self, sequence: BatchedSequence) -> None:
        """Take the grammar of `sequence` for known: its prompt is read from now on, and then it is compiled."""
        if (grammar := sequence.sampling.grammar) is None:
            return
        self._compiling, self._longest_s = sequence, 0.0
        self._known[grammar] = None
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    def left(self, sequence: BatchedSequence) -> None:
        """Forget the grammar of `sequence` where it was its turn, and it has left before it joined."""
        if sequence is self._compiling and sequence.sampling.grammar is not None:
            self._compiling = None
            self._known.pop(sequence.sampling.grammar, None)

    def after_step(self, now: float, step_s: float, there: Sequence[BatchedSequence]) -> None:
        """Note how long a step took, and once the text of the new grammar has begun, let none join for a while.

        The engine compiles a grammar in one of the steps until then: it reads first what joined before.

        Args:
            now: seconds of the batch's clock.
            step_s: what the step took.
            there: who is in the batch or waits.
        """
        if (compiling := self._compiling) is None:
            return
        self._longest_s = max(self._longest_s, step_s)
        if compiling.has_begun or compiling not in there:
            self._next = now + _REST * self._longest_s
            self._compiling = None
