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
from deployments.generation.beginnings import Part
from deployments.generation.detokenizer import StepDecoder
from deployments.generation.joining import JoinQueue
from deployments.generation.progress import Progress
from deployments.generation.sequence import BatchedSequence, BatchItem, EngineRequest, Outbox
from deployments.observability import log


class BatchingEngine(Protocol):
    """An engine with continuous batching. All methods are called from one thread.

    Attributes:
        piece: tokens of a prompt that are read at a time by a request of their own, as the engine keeps what it has
            read for the next prompt that begins alike; 0 where it keeps nothing.
    """

    piece: int

    def add(self, tokens: Sequence[int], sampling: Sampling, unread: int) -> EngineRequest:
        """Add a request, of whose `tokens` the last `unread` ones have not been read before, as far as is known.

        What this raises is raised to the request's caller.
        """
        ...

    def step(self) -> None:
        """Advance every request by a token; blocks until that is done."""
        ...

    def leaving(self) -> bool:
        """Whether a request that was cancelled takes further steps before it is out."""
        ...

    def unread(self) -> int:
        """Tokens of prompts that have been given to it unread, and have not been read to their ends."""
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
        self._queue = JoinQueue(engine.piece, capacity)
        self._outbox = Outbox()
        self._progress = Progress(clock)
        self._is_broken = False
        self._wake = threading.Condition()
        threading.Thread(target=self._drive, name="generate", daemon=True).start()

    @property
    def active(self) -> int:
        """Sequences in the batch, and those that are about to be added to it."""
        return len(self._running) + len(self._queue)

    def stalled_s(self) -> float:
        """Seconds since the last step of the engine while there are sequences in the batch; 0 where there are none.

        Infinite once the engine is of no use any more.
        """
        return math.inf if self._is_broken else self._progress.stalled_s()

    def add(self, sequence: BatchedSequence) -> None:
        """Add a sequence.

        Raises:
            BatchFullError: there is no room, or too many wait with forms that have to be compiled. Nothing waits for
                room: another replica or model may have it.
            BrokenEngineError: the engine is of no use any more.
        """
        with self._wake:
            if self._is_broken:
                raise BrokenEngineError
            if self.active >= self._capacity:
                raise BatchFullError(f"its batch of {self._capacity} is full")
            self._queue.add(sequence)
            self._progress.begin()
            self._wake.notify()

    def _drive(self) -> None:
        while not self._is_broken:
            with self._wake:
                while not (self._running or self._queue or self._engine.leaving()):
                    self._wake.wait()
                joining = self._queue.take(self._clock(), self._engine.unread(), self._running)
                self._running += [part.sequence for part in joining.parts if part.is_all]
            for sequence, end in joining.late:
                self._end(sequence, end, advanced=False)
            for _ in range(joining.gone):
                self._progress.end(advanced=False)
            self._outbox.send()
            for part in joining.parts:
                self._give(part)
            if self._running or self._queue.is_reading or self._engine.leaving():
                self._step()

    def _give(self, part: Part) -> None:
        """Add a part of a sequence to the engine."""
        try:
            request = self._engine.add(part.tokens, part.sampling, part.size)
        except Exception as error:  # noqa: BLE001 - raised to the request's caller
            with self._wake:
                if part.is_all:
                    self._running.remove(part.sequence)
                self._queue.refused(part)
            self._end(part.sequence, error)
            self._outbox.send()
            return
        if part.is_all:
            part.sequence.request = request
        else:
            part.request = request

    def _end(self, sequence: BatchedSequence, end: BatchItem, *, advanced: bool = True) -> None:
        self._progress.end(advanced=advanced)
        self._outbox.put(sequence, end)

    def _step(self) -> None:
        ended: list[tuple[BatchedSequence, BatchItem]] = []
        still_running: list[BatchedSequence] = []
        began = self._clock()
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
        with self._wake:  # before callers hear of an end: there must be room for their next request
            self._running = still_running
            ended += self._queue.after_step(now, self._clock() - began, still_running)
        for sequence, item in ended:
            self._end(sequence, item)
        self._outbox.send()

    def _fail_all(self, error: Exception) -> None:
        """End everybody in the batch, and find out whether the engine can be used again."""
        with self._wake:
            failed, self._running = [(each, each.request) for each in self._running], []
            failed += [(part.sequence, part.request) for part in self._queue.stop_reading()]
        for sequence, request in failed:
            told: Exception = RuntimeError(f"the engine failed: {error}")
            if request:
                told = request.blamed(error) or told
                request.cancel()
            self._end(sequence, told)
        try:
            self._engine.recover()
        except Exception as broken:  # noqa: BLE001 - whatever it is, nobody can be served any more
            log.internal_error("generate", "engine", broken)
            self._break_off()
        self._outbox.send()

    def _break_off(self) -> None:
        with self._wake:
            self._is_broken = True
            waiting = self._queue.clear()
        for sequence in waiting:
            self._end(sequence, BrokenEngineError())
