"""Drills: attempts that meet the faults their caller has injected (`request.injected_faults`).

The whole chain of a drill is real but for these attempts. What it sees is evidence of nothing: it runs on a copy of
what its router knows about the models, and the copy is thrown away, so that no drill opens a breaker, spends a budget
or slows a model for the requests beside it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from copy import deepcopy

from msgspec import Struct

from deployments.execution.attempt import Begun, ModelClient, begin, text_of
from deployments.policy.attempt import Candidate
from deployments.policy.breaker import tell_nobody
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, StreamEnd, StreamItem
from deployments.policy.resilience import ResilienceState
from deployments.request import InferenceRequest
from deployments.request.injected_faults import FaultKind, InjectedFault

CRAWL_S = 2.0
"""Seconds between the words of a model that crawls."""

CUT = Failed("drill: an injected break in the answer", transient=True)
"""The end of an answer that is cut."""

_WORDS = re.compile(r"\S+\s*|\s+")


def with_faults(
    client_of: Callable[[Candidate], ModelClient], faults: Sequence[InjectedFault]
) -> Callable[[Candidate], ModelClient]:
    """Return `client_of` with clients that meet the first of `faults` that is meant for their candidate."""
    if not faults:
        return client_of

    def faulty_client_of(candidate: Candidate) -> ModelClient:
        fault = next((each for each in faults if each.meets(candidate)), None)
        return client_of(candidate) if fault is None else FaultyClient(client_of(candidate), fault)

    return faulty_client_of


def copied(resilience: ResilienceState) -> ResilienceState:
    """Return what a drill may change: a copy of `resilience`, whose listener hears nothing of it."""
    copy = deepcopy(resilience)
    copy.listener = tell_nobody
    return copy


class FaultyClient(Struct, frozen=True):
    """A client whose attempts meet `fault`."""

    client: ModelClient
    fault: InjectedFault

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Make an attempt that meets the fault; as `ModelClient.start`."""
        match self.fault.kind:
            case FaultKind.ERROR:
                return Failed("drill: an injected error", transient=True)
            case FaultKind.BLANK:
                return Blank("drill: an injected blank answer")
            case FaultKind.GARBAGE:
                return Failed("drill: an injected answer that cannot be read")
            case FaultKind.HANG:
                await asyncio.Event().wait()
        started = await self.client.start(request, budget_s)
        cuts = self.fault.kind is FaultKind.CUT
        if isinstance(started, Begun):
            return await begin(_cut(started, self.fault.words) if cuts else _crawling(started))
        if cuts and isinstance(started, Answered):
            return CUT
        if isinstance(started, Answered):
            await asyncio.sleep(CRAWL_S * len(_WORDS.findall(text_of(started))))
        return started


async def _crawling(started: Begun) -> AsyncGenerator[StreamItem, None]:
    """Give what a stream gives, one word every `CRAWL_S` seconds."""
    async with aclosing(_items(started)) as items:
        async for item in items:
            for word in _WORDS.findall(item) if isinstance(item, str) else [item]:
                await asyncio.sleep(CRAWL_S)
                yield word


async def _cut(started: Begun, words: int) -> AsyncGenerator[StreamItem, None]:
    """Give what a stream gives up to so many words, then break off."""
    async with aclosing(_items(started)) as items:
        async for item in items:
            for word in _WORDS.findall(item) if isinstance(item, str) else [item]:
                if not words:
                    yield CUT
                    return
                words -= isinstance(word, str) and not word.isspace()
                yield word


async def _items(started: Begun) -> AsyncGenerator[StreamItem, None]:
    """Give what a stream gives, from its first content to its end; stop the model where nobody reads on."""
    try:
        for part in started.so_far:
            yield part
        while not isinstance(item := await started.next(), StreamEnd):
            yield item
        yield item
    finally:
        await started.aclose()
