"""The choices that a language model writes for one request (`n`), and what is told beside their texts.

The first choice is the answer. Those behind it are written beside it, each with a place in the batch and a seed of its
own, and none of them can spoil it: the answer has those that came about, and `dropped` says how many are missing.

    no place in the batch               it takes the place of a choice of the same request that has ended
    blank, or not in the form           it is drawn anew, once
    the engine fails, or ends it early  it is asked for anew, once
    silent, or not done in time         it is left out

(vLLM and SGLang fail the whole request with any of its choices.)
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from deployments.generation import (
    BatchFullError,
    CannotGenerateError,
    Generation,
    IncompleteGenerationError,
    Prompt,
    Sampling,
    TextGenerator,
)
from deployments.generation.grammar import GrammarError
from deployments.observability import log
from deployments.policy.outcome import Answered, Outcome
from deployments.request.sampling import MAX_SEED

MOST_WRITTEN = 16
"""The most choices of one request: each takes a place in the batch."""

PATIENCE_S = 5.0
"""Seconds for which the choices behind a first one that is done may be silent: half of a stream's `stall_seconds`."""

_SIGN_S = 1.0  # between two signs of life
_LAST_STEP_SHARE = 0.05
_MOST_LAST_STEP_S = 0.1
_TRIES = 2

Judge = Callable[[Generation], Awaitable[Outcome]]
"""Returns the outcome of what was written for one choice: `Answered` where the caller can use it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice that was written.

    Attributes:
        generation: what was written.
        outcome: what its text and calls are worth.
    """

    generation: Generation
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of one request.

    Attributes:
        first: what was written for the first choice.
        others: those behind it that the caller can use.
        missing: how many of those that were asked for did not come about.
    """

    first: Generation
    others: Sequence[Choice] = ()
    missing: int = 0


async def write(
    generator: TextGenerator, prompt: Prompt, sampling: Sampling, choices: int, judge: Judge
) -> AsyncGenerator[str | Choices, None]:
    """Yield the text of the first choice as it is written, then all choices.

    The others are begun once the first has some text: an engine that keeps the keys and values of prompts has read the
    prompt by then. While they are waited for, empty texts say so. Raises what the generator raises for the first one;
    closing this stops all choices.
    """
    further = _Further(generator, prompt, sampling, choices - 1, judge)
    try:
        async with aclosing(generator.stream(prompt, sampling)) as items:
            async for item in items:
                further.begin()
                if isinstance(item, str):
                    yield item
                else:
                    first = item
        further.leave_place()
        async for _ in further.wait():
            yield ""
        others = further.written()
        yield Choices(first, others, choices - 1 - len(others))
    finally:
        await further.stop()


async def write_all(
    generator: TextGenerator, prompt: Prompt, sampling: Sampling, choices: int, judge: Judge
) -> Choices:
    """Return all choices. Raises what the generator raises for the first one."""
    if choices == 1:
        return Choices(await generator.generate(prompt, sampling))
    async with aclosing(write(generator, prompt, sampling, choices, judge)) as items:
        async for item in items:
            if not isinstance(item, str):
                return item
    raise CannotGenerateError("its engine gave no end")


async def with_usable_first(written: Choices, judge: Judge) -> Choices:
    """Return `written`, with another choice in the place of a first one that the caller could not use."""
    if not written.others or isinstance(await judge(written.first), Answered):
        return written
    return Choices(written.others[0].generation, written.others[1:], written.missing + 1)


class _Further:
    """Writes the choices behind the first, as far as there is room and time for them."""

    def __init__(
        self, generator: TextGenerator, prompt: Prompt, sampling: Sampling, choices: int, judge: Judge
    ) -> None:
        """Write `choices` of them within the budget of `sampling`, which runs from now."""
        self._generator, self._prompt, self._sampling, self._judge = generator, prompt, sampling, judge
        self._choices = choices
        self._clock = asyncio.get_running_loop().time
        self._advanced = self._clock()
        self._ends = self._advanced + sampling.budget_s
        self._places = asyncio.Semaphore(0)  # in the batch, that choices of this request have left
        self._writing = 1  # choices of this request that have a place, or ask for one
        self._tasks: list[asyncio.Task[Choice | None]] = []

    def begin(self) -> None:
        """Begin to write, unless that has been done."""
        if not self._tasks:
            self._tasks = [asyncio.ensure_future(self._write(place)) for place in range(1, self._choices + 1)]

    def leave_place(self) -> None:
        """A choice has ended."""
        self._writing -= 1
        self._places.release()

    async def wait(self) -> AsyncGenerator[None, None]:
        """Yield once a second until all are done, their time is up, or none has advanced for `PATIENCE_S`."""
        self._advanced = self._clock()
        while pending := [task for task in self._tasks if not task.done()]:
            now, ends = self._clock(), min(self._ends, self._advanced + PATIENCE_S)
            if now >= ends:
                return
            await asyncio.wait(pending, timeout=min(_SIGN_S, ends - now))
            yield

    def written(self) -> Sequence[Choice]:
        """Those that the caller can use, in the order of their places."""
        choices = (task.result() for task in self._tasks if task.done())
        return [choice for choice in choices if choice is not None]

    async def stop(self) -> None:
        """Stop what is still being written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, place: int) -> Choice | None:
        """Write the choice at `place`; `None` where none came about that the caller can use."""
        draw, last = place, place + MOST_WRITTEN * (_TRIES - 1)
        try:
            while draw <= last and (sampling := self._sampling_of(draw)) is not None:
                try:
                    choice = await self._draw(sampling)
                except BatchFullError:
                    if not self._writing and self._places.locked():
                        return None
                    await self._places.acquire()
                    continue
                except (CannotGenerateError, GrammarError):
                    return None
                except IncompleteGenerationError:
                    choice = None
                except Exception as error:  # noqa: BLE001 - the first choice is an answer without this one
                    log.internal_error("choice", "", error)
                    choice = None
                if choice and (isinstance(choice.outcome, Answered) or sampling.temperature <= 0):
                    return choice if isinstance(choice.outcome, Answered) else None  # greedy: it would come again
                draw += MOST_WRITTEN
            return None
        finally:
            self._places.release()

    async def _draw(self, sampling: Sampling) -> Choice:
        self._writing += 1
        try:
            async with aclosing(self._generator.stream(self._prompt, sampling)) as items:
                async for item in items:
                    self._advanced = self._clock()
                    if isinstance(item, Generation):
                        return Choice(item, await self._judge(item))
        finally:
            self._writing -= 1
        raise IncompleteGenerationError("its engine gave no end")

    def _sampling_of(self, draw: int) -> Sampling | None:
        """The sampling of a draw, which has a seed of its own and what is left of the time; `None` where none is."""
        sampling = self._sampling
        last_step_s = min(_MOST_LAST_STEP_S, _LAST_STEP_SHARE * sampling.budget_s)
        left_s = self._ends - last_step_s - self._clock()
        if left_s <= 0:
            return None
        seed = None if sampling.seed is None else (sampling.seed + draw) % MAX_SEED
        return replace(sampling, seed=seed, budget_s=left_s)
