"""Several streams of one engine, or of one service, beside each other."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deployments.generation import Generation, Prompt, Sampling, TextGenerator


@dataclass(frozen=True, slots=True)
class Run:
    """One run of some streams beside each other.

    Attributes:
        tokens_s: tokens of all streams in a second.
        first_s: seconds until a stream's first text, the median.
    """

    tokens_s: float
    first_s: float


Measure = Callable[[int], Awaitable[Run]]


async def together(streams: int, one: Callable[[], Awaitable[tuple[int, float]]]) -> Run:
    """Run `one` so many times beside each other; it gives its tokens and when its first text came."""
    started = time.monotonic()
    done = await asyncio.gather(*(one() for _ in range(streams)))
    seconds = time.monotonic() - started
    return Run(sum(tokens for tokens, _ in done) / seconds, statistics.median(first - started for _, first in done))


def directly(generator: TextGenerator, prompt: Callable[[], Prompt], sampling: Callable[[], Sampling]) -> Measure:
    """An engine of ours, called in this process; every stream has a prompt of its own, and a run has one sampling."""

    def measure(streams: int) -> Awaitable[Run]:
        asked = sampling()

        async def one() -> tuple[int, float]:
            first = 0.0
            async for item in generator.stream(prompt(), asked):
                first = first or time.monotonic()
                if isinstance(item, Generation):
                    return item.completion_tokens, first
            raise AssertionError("a stream ends with its generation")

        return together(streams, one)

    return measure
