"""A stream from its first content to its end, through as many models as it takes.

relay ──► Finished, or a bound reached ──────────────────────────────────────► StreamDone
  │ broke, cut, stalled
  ▼
open again: those still left, a deadline of its own, the text so far as prefix
  │                                │ nobody
  └──► relay …                     └────► last-resort text ──────────────────► StreamDone
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from deployments.execution.stream_opening import Opened, Opener
from deployments.observability import log
from deployments.policy.answer import Answer, Candidate, Ended, Tier, Why
from deployments.policy.blank import is_blank
from deployments.policy.chain import LAST_RESORT, FallbackChain
from deployments.policy.continuation import StreamRules, successors
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Answered, Cancelled, Failed, Finished, Outcome, StreamEnd, Usage
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import StreamDone, StreamHead, TextDelta

_GIVEN_UP = Cancelled("given up by the caller")


@dataclass(slots=True)
class _Story:
    """What has been told so far, and by whom."""

    trace: list[Ended]
    texts: list[str] = field(default_factory=list)
    length: int = 0
    usages: list[Usage | None] = field(default_factory=list)

    def add(self, text: str) -> None:
        """One more piece."""
        self.texts.append(text)
        self.length += len(text)

    @property
    def text(self) -> str:
        """All of it."""
        if len(self.texts) > 1:
            self.texts = ["".join(self.texts)]
        return self.texts[0] if self.texts else ""

    @property
    def usage(self) -> Usage | None:
        """Token counts of the whole; `None` unless everybody who wrote of it has told theirs."""
        known = [usage for usage in self.usages if usage is not None]
        if not known or len(known) < len(self.usages):
            return None
        return Usage(known[0].prompt_tokens, sum(usage.completion_tokens for usage in known))


class Relay:
    """An `AnswerStream`: the first model's text, and what others had to add."""

    def __init__(
        self,
        opener: Opener,
        chain: FallbackChain,
        opened: Opened,
        resilience: ResilienceState,
        rules: StreamRules,
        started: float,
    ) -> None:
        """Relay what `opened` begins.

        Args:
            opener: opens a stream once more, to continue this one.
            chain: the chain of the request.
            opened: who has begun.
            resilience: is told how each stream ended.
            rules: the bounds.
            started: when the request's stream was begun, on the loop's clock.
        """
        self._opener, self._chain, self._opened, self._resilience, self._rules = (
            opener,
            chain,
            opened,
            resilience,
            rules,
        )
        self._ends = started + rules.max_s
        self._clock = asyncio.get_running_loop().time
        self._story = _Story(list(opened.trace))
        self._resumes = 0
        self._strangers = False
        first = opened.candidate
        others = tuple(ended for place, ended in enumerate(opened.trace) if place != opened.place)
        self._head = StreamHead(first.model, first.tier, first != chain.candidates[0], others)
        self._items = self._run()

    @property
    def head(self) -> StreamHead:
        """What is known at the first content."""
        return self._head

    def __aiter__(self) -> AsyncIterator[TextDelta | StreamDone]:
        """Texts, then one `StreamDone`."""
        return self._items

    async def aclose(self) -> None:
        """Stop whoever is writing."""
        await self._items.aclose()
        await self._leave(_GIVEN_UP)  # a generator that was never begun runs no `finally`

    async def _run(self) -> AsyncGenerator[TextDelta | StreamDone, None]:
        try:
            while True:
                opened = self._opened
                self._strangers |= opened.candidate != self._chain.candidates[0]
                begins = self._story.length
                end: StreamEnd | None = None
                try:
                    async for item in self._segment(opened):
                        if isinstance(item, TextDelta):
                            self._story.add(item.text)
                            yield item
                        else:
                            end = item
                except Exception as error:  # noqa: BLE001 - a bug of ours must not cut the answer
                    log.internal_error("relay", opened.candidate.model, error)
                if isinstance(end, Finished):
                    await self._settle(opened, begins, Answered(self._story.text or "tool calls"), end.usage)
                    yield StreamDone(self._answer(opened.candidate, end))
                    return
                broken = end or _BUG
                await self._settle(opened, begins, broken, None)
                continued = await self._continue(opened.candidate, broken)
                if continued is None:
                    break
                self._opened = continued
            text = ("\n\n" if self._story.length else "") + self._chain.last_resort
            self._story.add(text)
            yield TextDelta(text, LAST_RESORT, Tier.LAST_RESORT)
            yield StreamDone(self._answer(_NOBODY, Finished(LAST_RESORT)))
        finally:
            await self._leave(_GIVEN_UP)

    async def _segment(self, opened: Opened) -> AsyncGenerator[TextDelta | StreamEnd, None]:
        """The texts of one model, and the end of its stream."""
        source, candidate = opened.source, opened.candidate
        room = self._rules.max_characters - self._story.length
        item: str | StreamEnd = source.text
        while True:
            if isinstance(item, str):
                if item:
                    yield TextDelta(item[:room], candidate.model, candidate.tier)
                    room -= len(item)
                if source.end is not None:
                    yield source.end
                    return
                if room <= 0 or self._clock() >= self._ends:
                    yield Finished("length")
                    return
            else:
                yield item
                return
            item = await source.pull()

    async def _settle(self, opened: Opened, begins: int, outcome: Outcome, usage: Usage | None) -> None:
        """One model's part is over: close its stream, hand back its permit, write it into the trace."""
        await opened.source.aclose()
        now = self._clock()
        self._resilience.record(opened.permit, outcome, now)
        ended = self._story.trace[opened.place]
        self._story.trace[opened.place] = replace(ended, ended=now, outcome=outcome, from_character=begins)
        if self._story.length > begins or usage is not None:
            self._story.usages.append(usage)

    async def _leave(self, outcome: Outcome) -> None:
        """Whoever is still writing is stopped."""
        if not self._opened.permit.returned:
            self._resilience.record(self._opened.permit, outcome, self._clock())
            await self._opened.source.aclose()

    async def _continue(self, broken: Candidate, end: StreamEnd | Outcome) -> Opened | None:
        """Who carries on, or `None` where nobody does in time."""
        candidates = successors(self._chain.candidates, broken, end, self._resumes)
        self._resumes = self._resumes + 1 if broken in candidates else 0
        if not candidates or is_blank(self._story.text):
            return None
        now = self._clock()
        seconds = min(self._rules.continue_s, max(0.001, self._ends - now))
        deadline = Deadline.after(now, seconds, self._chain.deadline.reserves)
        chain = replace(
            self._chain, candidates=candidates, deadline=deadline, hedge_after_s=float("inf"), rescue_rejected=True
        )
        opened = await self._opener.open(chain, self._story.text)
        before = len(self._story.trace)
        trace = opened.trace
        if trace and trace[0].why is Why.NEXT:
            trace = (replace(trace[0], why=Why.CONTINUE), *trace[1:])
        self._story.trace.extend(trace)
        if not isinstance(opened, Opened):
            return None
        return replace(opened, place=before + opened.place)

    def _answer(self, last: Candidate, end: Finished) -> Answer:
        text = self._story.text
        return Answer(
            result={"tool_calls": list(end.tool_calls)} if is_blank(text) else text,
            model=last.model,
            served_by=last.tier,
            degraded=self._strangers or last is _NOBODY,
            attempts=tuple(self._story.trace),
            usage=self._story.usage if last is not _NOBODY else None,
            finish_reason=end.finish_reason,
            tool_calls=end.tool_calls,
        )


_NOBODY = Candidate(Tier.LAST_RESORT, LAST_RESORT)

_BUG = Failed("internal error while its stream was relayed")
