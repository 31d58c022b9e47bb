"""One generation in a batch, and the way of what it writes to its caller.

What a step of the engine writes is put into a queue of the caller's event loop, where it waits to be read; `max_tokens`
bounds how much that is. An event loop is woken once for a whole step: that is cheaper than once for each sequence.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.generation import Generation, Sampling, TokenLogprob
from deployments.generation.detokenizer import Detokenizer
from deployments.generation.grammar import TagGrammar
from deployments.generation.prompts import FittedPrompt

BatchItem = str | Generation | Exception
"""What a caller reads: texts, and behind them the complete generation or the error that ended it."""

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

    def blamed(self, error: Exception) -> Exception | None:
        """What its caller is told if this request is why a step has raised `error`; `None` if it is not."""
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
        read: how many tokens of the prompt the engine has read ahead.
        marks: of the beginnings in which the prompt is read; empty if it is read at once (see `beginnings`).
        began: when its budget began, in seconds of the batch's clock.
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
        self.read = 0
        self.marks: Sequence[int] = ()
        self.began = now
        self.given_up = False
        self._deadline = now + sampling.budget_s
        self._items: asyncio.Queue[BatchItem] = asyncio.Queue()
        self._texts: list[str] = []
        self._written: list[int] = []
        self._space = 0
        self._is_json = sampling.grammar is not None and not isinstance(sampling.grammar, TagGrammar)

    @property
    def has_begun(self) -> bool:
        """Whether a token has been written."""
        return bool(self._written)

    async def next(self) -> str | Generation:
        """Wait for the next text, or for the complete generation, which is the last item. Raises its error instead."""
        item = await self._items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def late(self, now: float) -> Generation | None:
        """Return the end of a generation whose budget is over before it has joined the batch; `None` for the others."""
        return Generation("", len(self.tokens), 0, "deadline", self._cut) if now >= self._deadline else None

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
        if not finished and now >= self._deadline:
            finished = "deadline"
        spaced = self._space > _MOST_SPACE and self._is_json
        if not finished and (spaced or len(self._written) == self.sampling.max_tokens):
            finished = "length"
        if not finished and not self.given_up:
            return None
        request.cancel()
        self._emit(self.detokenizer.finish(), outbox)
        reason = finished or "stop"
        text, stopped_at = "".join(self._texts), self.detokenizer.stopped_at
        return Generation(text, len(self.tokens), len(self._written), reason, self._cut, stopped_at=stopped_at)

    def told(self, texts_of: Callable[[Sequence[int]], Sequence[str]]) -> tuple[TokenLogprob, ...]:
        """The log probabilities of what was written, once it has ended; empty where they were not asked for.

        Not a part of the last step: the others in the batch do not wait for it.

        Args:
            texts_of: returns the text of each of some tokens, by itself.
        """
        if self.sampling.logprobs is None or self.request is None:
            return ()
        known = list(dict.fromkeys(self._written))
        texts = dict(zip(known, texts_of(known), strict=True))
        odds = zip(self._written, self.request.logprobs, strict=False)
        return tuple(TokenLogprob(texts[token], logprob) for token, logprob in odds)

    def deliver(self, item: BatchItem) -> None:
        """Put the next item into the caller's queue; to be called in `loop`."""
        self._items.put_nowait(item)

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
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[BatchedSequence, BatchItem]]] = {}

    def put(self, sequence: BatchedSequence, item: BatchItem) -> None:
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


def _deliver(items: Sequence[tuple[BatchedSequence, BatchItem]]) -> None:
    for sequence, item in items:
        sequence.deliver(item)
