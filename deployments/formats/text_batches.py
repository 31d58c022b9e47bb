"""Batches of texts: whatever is there when the model is free goes into it together, and nobody waits for more to come.

Requests take turns, text by text, so that one with thousands of texts does not keep the others waiting. The texts of a
batch are put into passes of about the same length, as the model computes on what fills up the shorter ones, too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from deployments.formats.calling import InferenceThreads
from deployments.formats.embedding_input import Tokens

Vector = list[float]
Encode = Callable[[Sequence[Tokens]], Sequence[Vector]]

_WASTE = 0.25
"""The most tokens that a pass may be filled up with, as a share of those of its texts."""
_SMALL_WASTE = 256
"""So many tokens more may always be filled up: below this, a pass of its own takes longer."""


class _Job:
    """The texts of one request, and those of their vectors that are there."""

    def __init__(self, texts: Sequence[Tokens]) -> None:
        self.texts = texts
        self.taken = 0
        self.missing = len(texts)
        self.vectors: list[Vector] = [[] for _ in texts]
        self.done: asyncio.Future[list[Vector]] = asyncio.get_running_loop().create_future()


_Item = tuple[_Job, int]


class TextBatches:
    """Makes vectors of the texts of all requests, a batch at a time, in one thread."""

    def __init__(self, encode: Encode, thread: InferenceThreads, most_texts: int, most_tokens: int) -> None:
        """Make nothing yet.

        Args:
            encode: gives the vectors of a few texts, in their order; called in `thread`.
            thread: runs one call at a time.
            most_texts: of one batch.
            most_tokens: of one batch; a text that has more is a batch of its own.
        """
        self._encode = encode
        self._thread = thread
        self._most_texts, self._most_tokens = most_texts, most_tokens
        self._jobs: deque[_Job] = deque()
        self._working: asyncio.Task[None] | None = None

    async def vectors(self, texts: Sequence[Tokens]) -> list[Vector]:
        """Return the vectors of `texts`, in their order. Cancelling this drops those that no batch has begun on.

        Raises whatever `encode` raises for these texts; that of other requests' texts is not raised here.
        """
        job = _Job(texts)
        self._jobs.append(job)
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())
        try:
            return await job.done
        finally:
            if job in self._jobs:
                self._jobs.remove(job)

    async def _work(self) -> None:
        while self._jobs:
            for items in _passes(self._next_batch()):
                await self._run(items)

    def _next_batch(self) -> list[_Item]:
        """Take the texts of the next batch: of each request in turn, as long as there is room."""
        batch: list[_Item] = []
        tokens = 0
        while self._jobs and len(batch) < self._most_texts:
            job = self._jobs[0]
            size = len(job.texts[job.taken])
            if batch and tokens + size > self._most_tokens:
                break
            batch.append((job, job.taken))
            tokens += size
            job.taken += 1
            self._jobs.popleft()
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return batch

    async def _run(self, items: Sequence[_Item]) -> None:
        """Make the vectors of `items`; where that fails, of each request's on its own, so that only one's fails."""
        items = [(job, index) for job, index in items if not job.done.done()]
        if not items:
            return
        try:
            made = await self._thread.run(partial(self._encode, [job.texts[index] for job, index in items]))
        except Exception as error:  # noqa: BLE001 - whatever a model raises is the failure of the request it is about
            jobs = {job for job, _ in items}
            if len(jobs) == 1:
                job = jobs.pop()
                if not job.done.done():  # who asked may have gone while it was at work
                    job.done.set_exception(error)
                return
            for one in jobs:
                await self._run([item for item in items if item[0] is one])
            return
        for (job, index), vector in zip(items, made, strict=True):
            job.vectors[index] = vector
            job.missing -= 1
            if not job.missing and not job.done.done():
                job.done.set_result(job.vectors)


def _passes(batch: Sequence[_Item]) -> list[list[_Item]]:
    """Put a batch into passes whose texts have about the same length."""
    passes: list[list[_Item]] = []
    real = 0
    for item in sorted(batch, key=_length):
        size = _length(item)
        padded = size * (len(passes[-1]) + 1) if passes else 0
        if passes and padded - real - size <= max(_SMALL_WASTE, _WASTE * (real + size)):
            passes[-1].append(item)
            real += size
        else:
            passes.append([item])
            real = size
    return passes


def _length(item: _Item) -> int:
    job, index = item
    return len(job.texts[index])
