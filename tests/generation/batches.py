"""A fake of an engine that generates in steps, and batches of it: what the tests of batches share."""

import threading
from collections.abc import Sequence

from deployments.generation import Generation, IncompleteGenerationError, Sampling
from deployments.generation.batch import Batch
from deployments.generation.detokenizer import Detokenizer, StepDecoder
from deployments.generation.grammar import Grammar
from deployments.generation.prompts import FittedPrompt
from deployments.generation.sequence import BatchedSequence
from tests.clock import FakeClock


class FakeRequest:
    """Writes the letters from the prompt's last token on, and finishes at its limit."""

    def __init__(self, tokens: Sequence[int], limit: int, unread: int) -> None:
        self.logprobs: list[float] = []
        self.prompt = len(tokens)
        self.to_read = unread
        self.is_read = False
        self.next = tokens[-1]
        self.left = limit
        self.unread: list[int] = []
        self.cancelled = False
        self.incomplete = False
        self.guilty = False
        self.waits = 0

    def step(self) -> None:
        if self.waits:
            self.waits -= 1
            return
        self.is_read = True
        if self.left and not self.cancelled:
            self.left -= 1
            self.unread.append(self.next)
            self.next += 1

    def read(self) -> Sequence[int]:
        taken, self.unread = self.unread, []
        return taken

    def finished(self) -> str:
        if self.incomplete:
            raise IncompleteGenerationError("out of memory")
        return "" if self.left else "length"

    def cancel(self) -> None:
        self.cancelled = True

    def blamed(self, error: Exception) -> Exception | None:
        return ValueError(f"its fault: {error}") if self.guilty else None


class FakeEngine:
    """An engine that steps when a test lets it."""

    def __init__(self, piece: int = 0) -> None:
        self.piece = piece
        self.steps = threading.Semaphore(0)
        self.requests: list[FakeRequest] = []
        self.broken = False
        self.lost = False
        self.taken = 0

    def add(self, tokens: Sequence[int], sampling: Sampling, unread: int) -> FakeRequest:
        if tokens[0] == 0:
            raise ValueError("no such token")
        self.requests.append(FakeRequest(tokens, sampling.max_tokens, unread))
        return self.requests[-1]

    def step(self) -> None:
        assert self.steps.acquire(timeout=10)
        if self.broken:
            raise RuntimeError("out of memory")
        self.taken += 1
        for request in self.requests:
            request.step()

    def leaving(self) -> bool:
        return False

    def unread(self) -> int:
        return sum(request.to_read for request in self.requests if not request.is_read)

    def recover(self) -> None:
        if self.lost:
            raise RuntimeError("out of memory for good")


class Decoder(StepDecoder):
    """A token is a letter's code."""

    def __init__(self) -> None:
        super().__init__(self.decode_many)
        self.calls = 0

    def decode_many(self, windows: Sequence[Sequence[int]]) -> list[str]:
        self.calls += 1
        return ["".join(map(chr, window)) for window in windows]


class Spaces(Decoder):
    """A token is a space."""

    def decode_many(self, windows: Sequence[Sequence[int]]) -> list[str]:
        return [" " * len(window) for window in windows]


def batch_of(engine: FakeEngine, capacity: int = 4, clock: FakeClock | None = None) -> Batch:
    return Batch(engine, Decoder(), capacity, clock or FakeClock())


def sequence(
    letter: str = "a",
    max_tokens: int = 3,
    *,
    budget_s: float = 60.0,
    stop: tuple[str, ...] = (),
    decoder: StepDecoder | None = None,
    grammar: Grammar | None = None,
) -> BatchedSequence:
    """A sequence that begins with `letter`; the engine does not accept one without."""
    sampling = Sampling(max_tokens, 0.0, budget_s, stop=stop, grammar=grammar)
    detokenizer = Detokenizer((decoder or Decoder()).decode, stop)
    return BatchedSequence(FittedPrompt([ord(letter) if letter else 0], max_tokens), sampling, detokenizer, 0.0)


async def read(sequence: BatchedSequence) -> tuple[list[str], Generation]:
    """The texts of a sequence, and the complete generation."""
    texts = []
    while not isinstance(item := await sequence.next(), Generation):
        texts.append(item)
    return texts, item
