"""Continuous batching, driven by one thread: many sequences, of which every step of the engine writes a token.

No step waits for a single caller: see `sequence`. What a step has written is decoded once for the whole step, as that
is cheaper than once for each sequence (see `detokenizer.StepDecoder`).
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.generation import BatchFullError, BrokenEngineError, IncompleteGenerationError, Sampling
from deployments.generation.detokenizer import StepDecoder
from deployments.generation.grammar import Grammar
from deployments.generation.progress import Progress
from deployments.generation.sequence import BatchedSequence, BatchItem, EngineRequest, Outbox
from deployments.observability import log

_KNOWN_GRAMMARS = 256  # that the engine is taken to have compiled
_REST_AFTER_GRAMMAR = 3.0
"""After a new grammar was compiled, none joins for so many times the longest step of that time: those who are in the
batch meanwhile keep three quarters of the engine, whatever forms some caller sends."""

_READ_AHEAD = 1024
"""Tokens of prompts that may wait inside the engine to be read. What is behind them joins later: it can still be given
up without being read, which a prompt in the engine cannot."""

_PASSED_S = 0.005
"""A request lets later ones with shorter prompts pass for so many seconds for each token of its own. On a CPU that is
about what a token takes: a long prompt waits as long for others as others would have waited for it."""

_PASSED_SHARE = 0.25
"""Of its budget, however long the prompt is."""


class BatchingEngine(Protocol):
    """An engine with continuous batching. All methods are called from one thread."""

    def add(self, tokens: Sequence[int], sampling: Sampling) -> EngineRequest:
        """Add a request. What this raises is raised to the request's caller."""
        ...

    def step(self) -> None:
        """Advance every request by a token; blocks until that is done."""
        ...

    def leaving(self) -> bool:
        """Whether a request that was cancelled takes further steps before it is out."""
        ...

    def unread(self) -> int:
        """Tokens of the prompts that have not been read to their ends."""
        ...

    def recover(self) -> None:
        """Be ready for further requests after a step has raised, whose requests have all been cancelled.

        What this raises says that the engine is of no use any more.
        """
        ...


class Batch:
    """Drives an engine while there are sequences in it."""

    def __init__(
        self,
        engine: BatchingEngine,
        decoder: StepDecoder,
        capacity: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread.

        Args:
            engine: what to drive.
            decoder: decodes for the detokenizers of all sequences.
            capacity: the most sequences at a time; more are refused.
            clock: seconds since any moment.
        """
        self._engine = engine
        self._decoder = decoder
        self._capacity = capacity
        self._clock = clock
        self._running: list[BatchedSequence] = []
        self._arrived: list[BatchedSequence] = []
        self._grammars: dict[Grammar, None] = {}
        self._compiling: BatchedSequence | None = None
        self._longest_s = 0.0
        self._next_grammar = -math.inf
        self._outbox = Outbox()
        self._progress = Progress(clock)
        self._is_broken = False
        self._wake = threading.Condition()
        threading.Thread(target=self._drive, name="generate", daemon=True).start()

    @property
    def active(self) -> int:
        """Sequences in the batch, and those that are about to be added to it."""
        return len(self._running) + len(self._arrived)

    def stalled_s(self) -> float:
        """Seconds since the last step of the engine while there are sequences in the batch; 0 where there are none.

        Infinite once the engine is of no use any more.
        """
        return math.inf if self._is_broken else self._progress.stalled_s()

    def add(self, sequence: BatchedSequence) -> None:
        """Add a sequence.

        Raises:
            BatchFullError: there is no room. Nothing waits here: another replica or model may have room.
            BrokenEngineError: the engine is of no use any more.
        """
        with self._wake:
            if self._is_broken:
                raise BrokenEngineError
            if self.active >= self._capacity:
                raise BatchFullError(f"its batch of {self._capacity} is full")
            self._progress.begin()
            self._arrived.append(sequence)
            self._wake.notify()

    def _drive(self) -> None:
        while not self._is_broken:
            with self._wake:
                while not (self._running or self._arrived or self._engine.leaving()):
                    self._wake.wait()
                arrived = self._joining()
                self._running += arrived
            self._outbox.send()
            for sequence in arrived:
                self._admit(sequence)
            if self._running or self._engine.leaving():
                began = self._clock()
                self._step()
                self._rest(self._clock() - began)

    def _joining(self) -> list[BatchedSequence]:
        """Take those who join before the next step.

        Those whose callers have gone do not join, nor do those whose budget is over: nothing is read or compiled for
        them. The engine reads prompts one after the other, as they join: short ones pass long ones, but not for ever.
        It compiles a new grammar within the step: one joins at most, in its turn, and others pass those that wait.
        """
        now = self._clock()
        waiting: list[BatchedSequence] = []
        for sequence in self._arrived:
            end = None if sequence.given_up else sequence.late(now)
            if end is None and not sequence.given_up:
                waiting.append(sequence)
                continue
            self._progress.end(advanced=False)
            if end is not None:
                self._outbox.put(sequence, end)
        waiting.sort(key=_turn_of)
        is_alone = not self._running and all(map(self._compiles_for, waiting))
        is_turn = self._compiling is None and (is_alone or now >= self._next_grammar)
        unread = self._engine.unread()
        joining: list[BatchedSequence] = []
        later: list[BatchedSequence] = []
        for place, sequence in enumerate(waiting):
            if unread and unread + len(sequence.tokens) > _READ_AHEAD:
                later += waiting[place:]
                break
            if self._compiles_for(sequence):
                if not is_turn:
                    later.append(sequence)
                    continue
                is_turn = False
                self._compiling, self._longest_s = sequence, 0.0
                self._know(sequence.sampling.grammar)
            unread += len(sequence.tokens)
            joining.append(sequence)
        self._arrived = later
        return joining

    def _rest(self, step_s: float) -> None:
        """Note how long a step took, and once the text of the new grammar has begun, let none join for a while.

        The engine compiles a grammar in one of the steps until then: it reads first what joined before.
        """
        if (compiling := self._compiling) is None:
            return
        self._longest_s = max(self._longest_s, step_s)
        if compiling.has_begun or compiling not in self._running:
            self._next_grammar = self._clock() + _REST_AFTER_GRAMMAR * self._longest_s
            self._compiling = None

    def _compiles_for(self, sequence: BatchedSequence) -> bool:
        """Return whether the engine compiles a grammar when `sequence` joins."""
        grammar = sequence.sampling.grammar
        return grammar is not None and grammar not in self._grammars

    def _know(self, grammar: Grammar | None) -> None:
        if grammar is not None:
            self._grammars[grammar] = None
        if len(self._grammars) > _KNOWN_GRAMMARS:
            del self._grammars[next(iter(self._grammars))]

    def _admit(self, sequence: BatchedSequence) -> None:
        try:
            sequence.request = self._engine.add(sequence.tokens, sequence.sampling)
        except Exception as error:  # noqa: BLE001 - raised to the request's caller
            self._running.remove(sequence)
            if sequence is self._compiling and sequence.sampling.grammar is not None:
                self._compiling = None
                self._grammars.pop(sequence.sampling.grammar, None)
            self._progress.end()
            self._outbox.put(sequence, error)
            self._outbox.send()

    def _step(self) -> None:
        ended: list[tuple[BatchedSequence, BatchItem]] = []
        still_running: list[BatchedSequence] = []
        try:
            self._engine.step()
            self._progress.advance()
            now = self._clock()
            written = [(each, each.request, each.request.read()) for each in self._running if each.request]
            self._decoder.prefetch((sequence.detokenizer, tokens) for sequence, _, tokens in written)
            for sequence, request, tokens in written:
                end: BatchItem | None
                try:
                    end = sequence.advance(request, tokens, now, self._outbox)
                except IncompleteGenerationError as error:
                    end = error
                if end is None:
                    still_running.append(sequence)
                else:
                    ended.append((sequence, end))
        except Exception as error:  # noqa: BLE001 - fails the sequences in the batch; the engine is used again
            log.internal_error("generate", "batch", error)
            self._fail_all(error)
            return
        self._running = still_running  # before callers hear of an end: there must be room for their next request
        for sequence, item in ended:
            self._progress.end()
            self._outbox.put(sequence, item)
        self._outbox.send()

    def _fail_all(self, error: Exception) -> None:
        """End everybody in the batch, and find out whether the engine can be used again."""
        failed, self._running = self._running, []
        for sequence in failed:
            self._progress.end()
            told: Exception = RuntimeError(f"the engine failed: {error}")
            if sequence.request:
                told = sequence.request.blamed(error) or told
                sequence.request.cancel()
            self._outbox.put(sequence, told)
        try:
            self._engine.recover()
        except Exception as broken:  # noqa: BLE001 - whatever it is, nobody can be served any more
            log.internal_error("generate", "engine", broken)
            self._break_off()
        self._outbox.send()

    def _break_off(self) -> None:
        with self._wake:
            self._is_broken = True
            waiting, self._arrived = self._arrived, []
        for sequence in waiting:
            self._progress.end()
            self._outbox.put(sequence, BrokenEngineError())


def _turn_of(sequence: BatchedSequence) -> float:
    """Return when a sequence joins, as a moment of the batch's clock: the earlier ones go first."""
    passed_s = min(_PASSED_S * len(sequence.tokens), _PASSED_SHARE * sequence.sampling.budget_s)
    return sequence.began + passed_s
