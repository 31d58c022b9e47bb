"""Continuous batching, driven by one thread: many sequences, of which every step of the engine writes a token.

No step waits for a single caller: what it writes waits in a queue to be read, at most `max_tokens` of it. Tokens are
decoded (see `detokenizer.StepDecoder`), and event loops woken, once for a step: cheaper than once for each sequence.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.generation import BatchFullError, Generation, IncompleteGenerationError, Sampling, TokenLogprob
from deployments.generation.detokenizer import Detokenizer, StepDecoder
from deployments.generation.grammar import Grammar, JsonGrammar
from deployments.generation.progress import Progress
from deployments.generation.prompts import FittedPrompt
from deployments.observability import log

_Item = str | Generation | Exception

_KNOWN_GRAMMARS = 256  # that the engine is taken to have compiled
_MOST_SPACE = 100
"""Characters of white space in a row that JSON may have. A small model that may write it often writes nothing else."""


class EngineRequest(Protocol):
    """A request inside the engine.

    Attributes:
        logprobs: the log probabilities of all tokens that were read, where they were asked for.
    """

    logprobs: list[float]

    def read(self) -> Sequence[int]:
        """The tokens written since the last call."""
        ...

    def finished(self) -> str:
        """`stop` or `length` if the engine has finished the request, else empty.

        Raises:
            IncompleteGenerationError: the engine ended the request before its end.
        """
        ...

    def cancel(self) -> None:
        """Take the request out of the engine before the next step."""
        ...


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


class BatchedSequence:
    """One generation in the batch, and the queue through which its caller reads it.

    To be made in the event loop of the caller.

    Attributes:
        tokens: the prompt.
        sampling: the request's sampling.
        detokenizer: makes text of what is written.
        loop: the caller's event loop.
        request: the request inside the engine; `None` until it has been added.
        given_up: set by the caller when it wants no more: the sequence leaves the batch after the next step.
    """

    def __init__(self, prompt: FittedPrompt, sampling: Sampling, detokenizer: Detokenizer, now: float) -> None:
        """Make a sequence that can be added to a batch; its budget runs from `now`."""
        self.tokens = prompt.tokens
        self.sampling = prompt.bound(sampling)
        self._cut = prompt.cut
        self.detokenizer = detokenizer
        self.loop = asyncio.get_running_loop()
        self.request: EngineRequest | None = None
        self.given_up = False
        self._deadline = now + sampling.budget_s
        self._items: asyncio.Queue[_Item] = asyncio.Queue()
        self._texts: list[str] = []
        self._written: list[int] = []
        self._space = 0

    async def next(self) -> str | Generation:
        """Wait for the next text, or for the complete generation, which is the last item. Raises its error instead."""
        item = await self._items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def advance(self, request: EngineRequest, tokens: Sequence[int], now: float, outbox: "Outbox") -> Generation | None:
        """Take the `tokens` of a step, and put their text into `outbox`.

        Returns:
            The complete generation if this was its last step, else `None`.

        Raises:
            IncompleteGenerationError: the engine ended the request before its end.
        """
        for token in tokens[: self.sampling.max_tokens - len(self._written)]:  # an engine may guess beyond it
            self._written.append(token)
            self._emit(self.detokenizer.add(token), outbox)
            if self.detokenizer.stopped:
                break
        finished = "stop" if self.detokenizer.stopped else request.finished()
        spaced = self._space > _MOST_SPACE and isinstance(self.sampling.grammar, JsonGrammar)
        if not finished and (spaced or len(self._written) == self.sampling.max_tokens):
            finished = "length"
        if not finished and now >= self._deadline:
            finished = "deadline"
        if not finished and not self.given_up:
            return None
        request.cancel()
        self._emit(self.detokenizer.finish(), outbox)
        text, reason = "".join(self._texts), finished or "stop"
        return Generation(text, len(self.tokens), len(self._written), reason, self._cut, self._logprobs(request))

    def deliver(self, item: _Item) -> None:
        """Put the next item into the caller's queue; to be called in `loop`."""
        self._items.put_nowait(item)

    def _logprobs(self, request: EngineRequest) -> tuple[TokenLogprob, ...]:
        if self.sampling.logprobs is None:
            return ()
        texts = [self.detokenizer.text_of(token) for token in self._written]
        return tuple(TokenLogprob(text, odds) for text, odds in zip(texts, request.logprobs, strict=False))

    def _emit(self, text: str, outbox: "Outbox") -> None:
        if text:
            rest = text.rstrip()
            self._space = len(text) - len(rest) + (0 if rest else self._space)
            self._texts.append(text)
            outbox.put(self, text)


class Outbox:
    """Items for callers. Waking an event loop takes a system call, so each is woken once for all of its items."""

    def __init__(self) -> None:
        """Make an empty outbox."""
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[BatchedSequence, _Item]]] = {}

    def put(self, sequence: BatchedSequence, item: _Item) -> None:
        """Append an item for the caller of `sequence`."""
        self._items.setdefault(sequence.loop, []).append((sequence, item))

    def send(self) -> None:
        """Deliver all items."""
        items, self._items = self._items, {}
        for loop, of_loop in items.items():
            try:
                loop.call_soon_threadsafe(_deliver, of_loop)
            except RuntimeError:  # the loop is closed, its callers have gone with it; the others must not notice
                for sequence, _ in of_loop:
                    sequence.given_up = True


def _deliver(items: Sequence[tuple[BatchedSequence, _Item]]) -> None:
    for sequence, item in items:
        sequence.deliver(item)


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
        self._outbox = Outbox()
        self._progress = Progress(clock)
        self._wake = threading.Condition()
        threading.Thread(target=self._drive, name="generate", daemon=True).start()

    @property
    def active(self) -> int:
        """Sequences in the batch, and those that are about to be added to it."""
        return len(self._running) + len(self._arrived)

    def stalled_s(self) -> float:
        """Seconds since the last step of the engine while there are sequences in the batch; 0 where there are none."""
        return self._progress.stalled_s()

    def add(self, sequence: BatchedSequence) -> None:
        """Add a sequence. Raises `BatchFullError` if there is no room: another replica or model may have some."""
        with self._wake:
            if self.active >= self._capacity:
                raise BatchFullError(f"its batch of {self._capacity} is full")
            self._progress.begin()
            self._arrived.append(sequence)
            self._wake.notify()

    def _drive(self) -> None:
        while True:
            with self._wake:
                while not (self._running or self._arrived or self._engine.leaving()):
                    self._wake.wait()
                arrived = self._joining()
                self._running += arrived
            for sequence in arrived:
                self._admit(sequence)
            if self._running or self._engine.leaving():
                self._step()

    def _joining(self) -> list[BatchedSequence]:
        """Take those who join before the next step. One new grammar at most: the engine compiles it within the step."""
        joining: list[BatchedSequence] = []
        has_new = False
        for sequence in self._arrived:
            grammar = sequence.sampling.grammar
            if grammar is not None and grammar not in self._grammars:
                if has_new:
                    break
                has_new = True
                self._grammars[grammar] = None
                if len(self._grammars) > _KNOWN_GRAMMARS:
                    del self._grammars[next(iter(self._grammars))]
            joining.append(sequence)
        self._arrived = self._arrived[len(joining) :]
        return joining

    def _admit(self, sequence: BatchedSequence) -> None:
        try:
            sequence.request = self._engine.add(sequence.tokens, sequence.sampling)
        except Exception as error:  # noqa: BLE001 - raised to the request's caller
            self._running.remove(sequence)
            self._progress.end()
            self._outbox.put(sequence, error)
            self._outbox.send()

    def _step(self) -> None:
        ended: list[tuple[BatchedSequence, _Item]] = []
        still_running: list[BatchedSequence] = []
        try:
            self._engine.step()
            self._progress.advance()
            now = self._clock()
            written = [(each, each.request, each.request.read()) for each in self._running if each.request]
            self._decoder.prefetch((sequence.detokenizer, tokens) for sequence, _, tokens in written)
            for sequence, request, tokens in written:
                end: _Item | None
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
        failed, self._running = self._running, []
        for sequence in failed:
            self._progress.end()
            if sequence.request:
                sequence.request.cancel()
            self._outbox.put(sequence, RuntimeError(f"the engine failed: {error}"))
        self._outbox.send()
