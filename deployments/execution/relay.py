"""A stream from its first content to its end, through as many models as it takes.

relay ──► Finished, or a bound reached ──────────────────────────────────────► StreamDone
  │ broke, cut, silent too long, crawled
  ▼
open again: the candidates that are left, a deadline of its own, the text so far as prefix
  │                                │ no candidate continues
  └──► relay …                     └────► last-resort text ──────────────────► StreamDone
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from msgspec.structs import replace

from deployments.execution.attempt import GIVEN_UP, Begun
from deployments.execution.execution import Execution
from deployments.execution.opening import SEVERAL, open_chain
from deployments.execution.race import Opened
from deployments.execution.transcript import Transcript
from deployments.execution.watch import StreamWatch
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate
from deployments.policy.blank import is_blank
from deployments.policy.continuation import NO_LIMITS, StreamPolicy, successors
from deployments.policy.deadline import Deadline
from deployments.policy.extras import Extras
from deployments.policy.outcome import Cancelled, Finished, StreamEnd, StreamItem, TimedOut
from deployments.policy.put_behind import all_put_behind
from deployments.policy.step import Exhausted
from deployments.policy.stream_events import ExtrasDelta, StreamDone, StreamEvent, StreamHead, TextDelta


class Relay:
    """An `AnswerStream`: the text of the first model, continued by other models where it breaks off.

    Attributes:
        head: the head of the stream.
    """

    def __init__(self, execution: Execution, rules: StreamPolicy, opened: Opened, ends: float) -> None:
        """Relay the stream that `opened` begins.

        Args:
            execution: the request, and what further streams that continue this one are made with.
            rules: the bounds of the stream.
            opened: the stream whose first content is there.
            ends: when the whole stream has to be over, on the event loop's clock.
        """
        self._execution, self._rules, self._ends = execution, rules, ends
        self._chain, self._resilience, self._last_resort = execution.chain, execution.resilience, execution.last_tier()
        self._clock = asyncio.get_running_loop().time
        self._transcript = Transcript(opened.trace)
        self._resumes = 0
        self._dropped: list[str] = []
        self._degraded = False
        self._take_over(opened, opened.place)
        writer, dropped = opened.writer, tuple(self._dropped)
        self.head = StreamHead(writer.model, writer.tier, self._degraded, opened.trace, dropped=dropped)
        self._items = self._run()

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Give the texts, and what comes beside them, then one `StreamDone`."""
        return self._items

    async def aclose(self) -> None:
        """Stop the model that is writing, and hand its permit back."""
        await self._items.aclose()
        await self._let_go()  # a generator that was never begun runs no `finally`

    async def _run(self) -> AsyncGenerator[StreamEvent, None]:
        try:
            step: Opened | StreamDone | Exhausted = self._opened
            while isinstance(step, Opened):
                writer, begun, begins = step.writer, step.begun, self._transcript.length
                if begun.extras:
                    yield self._beside(begun.extras, writer)
                item: StreamItem = begun.first
                while isinstance(item, (str, Extras)):
                    if not isinstance(item, str):
                        yield self._beside(item, writer)
                    elif item:
                        room = self._rules.max_characters - self._transcript.length
                        self._transcript.add(item[:room])
                        yield TextDelta(item[:room], writer.model, writer.tier)
                        if len(item) > room:
                            item = Finished("length")
                            continue
                    now = self._clock()
                    item = self._bound(begun, now) or await self._watch.next(begun, now)
                if isinstance(item, Finished) and item.extras:
                    yield self._beside(item.extras, writer)
                step = await self._end(item, begins)
            if isinstance(step, Exhausted):
                text = self._last_resort.ending(self._transcript.text)
                self._transcript.add(text)
                said = replace(
                    self._last_resort.answer(self._transcript.trace),
                    result=self._transcript.text,
                    extras=self._transcript.extras,
                    dropped=tuple(self._dropped),
                )
                yield TextDelta(text, said.model, said.served_by)
                step = StreamDone(said)
            yield step
        finally:
            await self._let_go()

    def _beside(self, extras: Extras, writer: Candidate) -> ExtrasDelta:
        """Note what came beside the text, and return it as it is passed on."""
        self._transcript.add_extras(extras)
        return ExtrasDelta(extras, writer.model, writer.tier)

    def _bound(self, begun: Begun, now: float) -> StreamEnd | None:
        """Return the end of the part of a writer who is asked for nothing more: it is known, or a bound is reached."""
        if begun.end is not None:
            return begun.end
        if self._transcript.length >= self._rules.max_characters or now >= self._ends:
            return Finished("length")
        if self._watch.crawls and self._successors(_CRAWLS):
            return _CRAWLS
        return None

    async def _end(self, end: StreamEnd, begins: int) -> StreamDone | Opened | Exhausted:
        """End the part of a writer, which begins at character `begins`, and continue the text where it broke off.

        Returns:
            The end of the stream where the writer finished, else the stream that continues the text, or that none does.
        """
        writer = self._opened.writer
        try:
            self._transcript.close(self._place, end, begins, self._clock())
            await self._release(end)
            if isinstance(end, Finished):
                self._watch.finished()
                self._note(end.dropped)
                return StreamDone(self._answer(writer, end))
            return await self._continue(writer, end)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not cut the answer
            log.internal_error("relay", writer.model, error)
            return Exhausted(())

    async def _release(self, end: StreamEnd | Cancelled = GIVEN_UP) -> None:
        """Hand the writer's permit back and close its stream, once.

        Without an `end` of its own it is still at work: the reader has gone, or a bug of ours ended the relay.
        """
        self._watch.stop()
        try:
            if self._opened.permit is not None and not self._opened.permit.returned:
                self._resilience.record(self._opened.permit, end, self._clock())
        finally:
            await self._opened.begun.aclose()

    async def _let_go(self) -> None:
        """Release the writer once the reader has all, or has gone: a bug of ours in it must not cut the answer."""
        try:
            await self._release()
        except Exception as error:  # noqa: BLE001 - as in `_end`
            log.internal_error("relay", self._opened.writer.model, error)

    async def _continue(self, broken: Candidate, end: StreamEnd) -> Opened | Exhausted:
        """Open a stream that continues the text, and make it the one that is relayed."""
        candidates = self._successors(end)
        self._resumes = self._resumes + 1 if broken in candidates else 0
        if not candidates:
            return Exhausted(())
        now = self._clock()
        seconds = min(self._rules.continue_seconds, max(0.001, self._ends - now))
        deadline = Deadline.after(now, seconds, self._chain.deadline.reserves)
        chain = replace(
            self._chain,
            candidates=candidates,
            deadline=deadline,
            hedge_after_s=float("inf"),
            rescue_rejected=True,
            usual_s=0.0,
            rescue_content=True,
            continues=True,
        )
        opened = await open_chain(self._execution, self._rules, chain, self._transcript.text)
        place = self._transcript.extend(opened.trace)
        if isinstance(opened, Opened):
            self._take_over(opened, place + opened.place)
            if SEVERAL in self._execution.request.passthrough:
                self._note((SEVERAL,))  # the further choices are not continued
        return opened

    def _take_over(self, opened: Opened, place: int) -> None:
        """Relay `opened` from now on; its attempt is at index `place` of the whole trace."""
        self._opened, self._place = opened, place
        writer = opened.writer
        own_s = self._chain.limits.get(writer.model, NO_LIMITS).stall_s
        stall_s = self._rules.stall_seconds if own_s is None else own_s
        self._watch = StreamWatch(writer.model, self._resilience.paces, stall_s, self._rules.crawl_seconds)
        self._degraded |= writer != self._chain.candidates[0]
        self._note(self._execution.dropped_by(writer))

    def _note(self, dropped: Sequence[str]) -> None:
        """Note what a writer could not do of what was asked."""
        self._dropped += [name for name in dropped if name not in self._dropped]
        self._degraded |= bool(self._dropped)

    def _successors(self, end: StreamEnd) -> tuple[Candidate, ...]:
        """Return who could carry on where the writer's part has come to `end`; nobody where there is no text yet."""
        candidates = self._chain.candidates
        unasked = all_put_behind(candidates, self._transcript.trace)
        is_text = not is_blank(self._transcript.text)
        return successors(candidates, self._opened.writer, end, self._resumes, unasked) if is_text else ()

    def _answer(self, writer: Candidate, end: Finished) -> Answer:
        text = self._transcript.text
        return Answer(
            result={"tool_calls": list(end.tool_calls)} if is_blank(text) else text,
            model=writer.model,
            served_by=writer.tier,
            degraded=self._degraded,
            attempts=self._transcript.trace,
            usage=self._transcript.usage,
            finish_reason=end.finish_reason,
            tool_calls=end.tool_calls,
            extras=self._transcript.extras,
            dropped=tuple(self._dropped),
            usage_estimated=self._transcript.is_estimated,
        )


_CRAWLS = TimedOut("it writes far slower than it usually does")
