"""Who joins a batch before its next step, and what is read ahead of long prompts.

An engine reads prompts one after the other, as they came to it, and reads to its end what it has begun. So a long
prompt joins when it has nearly been read, piece by piece (see `beginnings`): between two pieces others join, and a
caller who goes away costs one piece at most.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from deployments.generation import BatchFullError, Generation, IncompleteGenerationError
from deployments.generation.beginnings import Beginnings, Part
from deployments.generation.grammar_turns import GrammarTurns
from deployments.generation.sequence import BatchedSequence

_READ_AHEAD = 256
"""Tokens of prompts that may wait inside the engine to be read. What is behind them joins later: it can still be given
up without being read, which a prompt in the engine cannot."""

_PASSED_S = 0.005
"""A request lets later ones with shorter prompts pass for so many seconds for each token of its own that is unread.
On a CPU that is about what a token takes: a long prompt waits as long for others as they would have waited for it."""

_PASSED_SHARE = 0.25
"""Of its budget, however long the prompt is."""

_WRITING = 1.0
"""After a step that has read a piece, none is read for so many times as long while others write: half of the time."""

_FORMS_SHARE = 0.5
"""Of the places of a batch: so many different forms at most wait to be compiled."""


@dataclass(slots=True)
class Joining:
    """What a step begins with.

    Attributes:
        parts: what the engine is given, in this order.
        late: who waited until the budget was over, and what they are told.
        gone: how many left without waiting for it.
    """

    parts: list[Part] = field(default_factory=list)
    late: list[tuple[BatchedSequence, Generation]] = field(default_factory=list)
    gone: int = 0


class JoinQueue:
    """The sequences that have come to a batch and have not joined. The batch holds its lock around every call."""

    def __init__(self, piece: int, capacity: int) -> None:
        """Start empty.

        Args:
            piece: tokens of a prompt that are read ahead at a time; 0 for an engine that keeps nothing of them.
            capacity: places of the batch.
        """
        self._beginnings = Beginnings(piece)
        self._grammars = GrammarTurns()
        self._most_forms = max(1, int(_FORMS_SHARE * capacity))
        self._arrived: list[BatchedSequence] = []
        self._waiting: list[BatchedSequence] = []
        self._reading: dict[BatchedSequence, Part] = {}
        self._next_piece = -math.inf  # in seconds of the batch's clock

    def __len__(self) -> int:
        """Return how many have not joined."""
        return len(self._arrived) + len(self._waiting) + len(self._reading)

    @property
    def is_reading(self) -> bool:
        """Whether the engine reads beginnings."""
        return bool(self._reading)

    def add(self, sequence: BatchedSequence) -> None:
        """Add a sequence.

        Raises:
            BatchFullError: its form has to be compiled, and too many wait for theirs.
        """
        if self._grammars.is_new(sequence):
            others = filter(self._grammars.is_new, (*self._arrived, *self._waiting, *self._reading))
            forms = {other.sampling.grammar for other in others}
            if sequence.sampling.grammar not in forms and len(forms) >= self._most_forms:
                raise BatchFullError(f"{len(forms)} forms wait to be compiled")
        self._arrived.append(sequence)

    def take(self, now: float, unread: int, running: Sequence[BatchedSequence]) -> Joining:
        """Take what the engine is given before its next step.

        Those whose callers have gone do not join, nor do those whose budget is over: nothing is read or compiled for
        them. Short prompts pass long ones, but not for ever, and while somebody writes, pieces have half of the time.
        The engine compiles a new grammar within the step: one sequence with such a grammar is read and joins, in its
        turn, and others pass those that wait.

        Args:
            now: seconds of the batch's clock.
            unread: tokens of prompts that the engine has been given and has not read.
            running: who has joined.
        """
        joining = Joining()
        waiting = sorted(self._staying(now, joining), key=_turn_of)
        is_alone = not running and all(map(self._grammars.is_new, waiting))
        is_open = self._grammars.is_open(now, is_alone=is_alone)
        self._waiting = []
        for place, sequence in enumerate(waiting):
            part = self._beginnings.next_of(sequence)
            if unread and unread + part.size > _READ_AHEAD:
                self._waiting += waiting[place:]
                break
            if not part.is_all and running and now < self._next_piece:
                self._waiting.append(sequence)
                continue
            if self._grammars.is_new(sequence):
                if not is_open:
                    self._waiting.append(sequence)
                    continue
                is_open = False
                self._grammars.begin(sequence)
            unread += part.size
            part.most_steps = self._beginnings.steps_for(unread)
            joining.parts.append(part)
            if part.is_all:
                self._beginnings.read(part)
            else:
                self._reading[sequence] = part
        return joining

    def refused(self, part: Part) -> None:
        """Forget a part that the engine has not taken."""
        self._reading.pop(part.sequence, None)
        self._grammars.left(part.sequence)

    def after_step(
        self, now: float, step_s: float, running: Sequence[BatchedSequence]
    ) -> list[tuple[BatchedSequence, IncompleteGenerationError]]:
        """Note what a step that took `step_s` has read and written.

        Returns:
            The sequences of whose prompts the engine has given a beginning up, and why: they wait no more.
        """
        failed: list[tuple[BatchedSequence, IncompleteGenerationError]] = []
        self._grammars.after_step(now, step_s, [*running, *self._waiting, *self._reading])
        if self._reading:
            self._next_piece = now + _WRITING * step_s
        for sequence, part in list(self._reading.items()):
            part.steps += 1
            try:
                is_read = part.request is not None and (part.request.read() or part.request.finished())
            except IncompleteGenerationError as error:
                del self._reading[sequence]
                failed.append((sequence, error))
                continue
            if is_read:
                del self._reading[sequence]
                self._beginnings.read(part)
                self._waiting.append(sequence)
        return failed

    def stop_reading(self) -> list[Part]:
        """Take out those whose prompts are being read: the step has failed."""
        parts, self._reading = list(self._reading.values()), {}
        return parts

    def clear(self) -> list[BatchedSequence]:
        """Take out all: the engine is of no use any more."""
        left = [*self._arrived, *self._waiting, *self._reading]
        self._arrived, self._waiting, self._reading = [], [], {}
        return left

    def _staying(self, now: float, joining: Joining) -> list[BatchedSequence]:
        """Return who waits; the others leave, and the engine drops what it reads for them."""
        staying: list[BatchedSequence] = []
        for sequence in self._arrived:
            self._beginnings.arrived(sequence)
        for sequence in (*self._waiting, *self._arrived, *self._reading):
            end = None if sequence.given_up else sequence.late(now)
            part = self._reading.get(sequence)
            if end is None and not sequence.given_up:
                if part is None:
                    staying.append(sequence)
                continue
            self._grammars.left(sequence)
            if part is not None:
                del self._reading[sequence]
                if part.request is not None:
                    part.request.cancel()
            if end is None:
                joining.gone += 1
            else:
                joining.late.append((sequence, end))
        self._arrived = []
        return staying


def _turn_of(sequence: BatchedSequence) -> float:
    """Return when a sequence joins, as a moment of the batch's clock: the earlier ones go first."""
    unread = len(sequence.tokens) - sequence.read
    return sequence.began + min(_PASSED_S * unread, _PASSED_SHARE * sequence.sampling.budget_s)
