"""Counts one router's requests: those in flight, those answered, those turned away, those whose caller has left."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from msgspec.structs import replace

from deployments.execution.clock import loop_time
from deployments.execution.execution import Execution
from deployments.observability import log, metrics
from deployments.observability.fallback_log import FallbackLog
from deployments.observability.log import fallback_facts
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.stream_events import AnswerStream, StreamDone, StreamEvent, StreamHead, TextDelta
from deployments.router.request_trace import RequestTrace
from deployments.router.visit import Visit, traced


class RequestAccounting:
    """The counts of one router. As a context manager it counts a request that is being read.

    Attributes:
        in_flight: requests that are being answered.
        arriving: requests that are being read.
        fallbacks: the last answers that another model gave than the one asked for.
    """

    def __init__(
        self, answered: Callable[[Answer], None] = lambda _: None, known: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Begin at nothing.

        Args:
            answered: called for each answer, but those of drills.
            known: returns whether somebody serves a model of that name.
        """
        self._answered = answered
        self._known = known
        self.in_flight = 0
        self.arriving = 0
        self.fallbacks = FallbackLog()
        self._answers: Counter[Tier] = Counter()
        self._turned_away = 0
        self._abandoned = 0
        self._drills = 0

    def __enter__(self) -> None:
        """Begin to read a request."""
        self.arriving += 1

    def __exit__(self, *_: object) -> None:
        """The request was read, or could not be."""
        self.arriving -= 1

    def turned_away(self) -> None:
        """Count a request that was answered unread, as there were too many."""
        self._turned_away += 1
        metrics.turned_away()

    def answered(self, record: "RequestRecord", answer: Answer) -> None:
        """Count an answer, and log it where another model than the one asked for gave it.

        A drill is counted as one and nowhere else: no metric, and so no alert, takes it for an outage.
        """
        if record.drill:
            self._drills += 1
            return
        seconds = loop_time() - record.started
        self._answers[answer.served_by] += 1
        self._answered(answer)
        metrics.answered(record.own_part(answer), seconds, self._known, record.deadline_s)
        elsewhere = answer.model != record.asked or answer.served_by is Tier.CACHE
        if answer.degraded and elsewhere:  # else only something was dropped
            due = {} if math.isinf(record.deadline_s) else {"deadline_ms": round(record.deadline_s * 1000, 1)}
            facts = fallback_facts(record.request_id, record.asked, answer, seconds)
            self.fallbacks.add({**facts, **due})
            if record.quotes:
                facts = fallback_facts(record.request_id, record.asked, answer, seconds, quotes=True)
            log.fallback(facts, record.content)

    def began(self, record: "RequestRecord", head: StreamHead) -> None:
        """Count a stream whose first content is there, unless it is a drill."""
        if not record.drill:
            metrics.first_token(head.served_by, head.model, loop_time() - record.started, record.deadline_s)
        record.deadline_s = math.inf

    def abandoned(self, record: "RequestRecord") -> None:
        """Count a request whose caller left before it was answered, and the time that was spent on it.

        A drill is counted as in `answered`.
        """
        if record.drill:
            self._drills += 1
            return
        self._abandoned += 1
        metrics.abandoned(loop_time() - record.started)

    def describe(self) -> dict[str, Any]:
        """The counts, for `/status`."""
        return {
            "in_flight": self.in_flight,
            "arriving": self.arriving,
            "answers": {tier.value: self._answers[tier] for tier in Tier},
            "turned_away": self._turned_away,
            "abandoned": self._abandoned,
            "drills": self._drills,
        }


class RequestRecord:
    """One request, from its start to the one of its ends that comes first: answered, rejected or abandoned.

    Attributes:
        deadline_s: seconds from its arrival within which the answer is due; of a stream its first content.
        trace: its distributed trace; `None` where it is not traced.
        visit: settles what the request has used; `None` where it came without a key.
        shared: its answer is that of an identical request.
    """

    def __init__(
        self,
        accounting: RequestAccounting,
        request_id: str,
        asked: str,
        started: float,
        content: str,
        *,
        quotes: bool = False,
        drill: bool = False,
        keep: Callable[[Answer], None] | None = None,
    ) -> None:
        """Count a request as in flight.

        Args:
            accounting: the router's counts.
            request_id: for the log.
            asked: the model asked for.
            started: when the request arrived, on the event loop's clock.
            content: the request's text where content may be logged, else empty.
            quotes: log lines may have reasons in the words of a model's own code, which may quote the request.
            drill: its caller has injected faults.
            keep: keeps the answer for later; `None` where nobody does.
        """
        self.visit: Visit | None = None
        self.shared = False
        self._accounting = accounting
        self.request_id = request_id
        self.asked = asked
        self.started = started
        self.content = content
        self.quotes = quotes
        self.deadline_s = math.inf
        self.trace: RequestTrace | None = None
        self.drill = drill
        self._keep = keep
        self._open = True
        accounting.in_flight += 1

    def __enter__(self) -> None:
        """Hold the record while the request is answered."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Note an end without an answer: the caller has left, or an error was raised."""
        if isinstance(error, asyncio.CancelledError):
            self.abandoned()
        elif isinstance(error, Exception):
            self.rejected()

    def traced(self, execution: Execution) -> Execution:
        """Return `execution`, whose attempts are traced where the request is."""
        return execution if self.trace is None else self.trace.of(execution)

    def answered(self, answer: Answer) -> None:
        """The answer is complete. An error here is logged: it must not cost the caller what is there."""
        if self._close():
            try:
                if self.visit is not None:
                    self.visit.answered(answer)
                self._accounting.answered(self, answer)
                if self._keep is not None:
                    self._keep(answer)
                if self.trace is not None:
                    self.trace.answered(self.own_part(answer))
            except Exception as error:  # noqa: BLE001 - a bug of ours
                self._broke(error)

    def own_part(self, answer: Answer) -> Answer:
        """Return `answer` without what was done for another request: that is counted there."""
        if self.shared:
            return replace(answer, attempts=(), usage=None)
        return replace(answer, usage=None) if answer.served_by is Tier.CACHE else answer

    def began(self, head: StreamHead) -> None:
        """The first content of a stream is there. An error here is logged, as in `answered`."""
        try:
            self._accounting.began(self, head)
            if self.trace is not None:
                self.trace.began()
        except Exception as error:  # noqa: BLE001 - a bug of ours
            log.internal_error("accounting", self.asked, error)

    def rejected(self) -> None:
        """The request has no answer: the model asked for calls it invalid, or an error of ours ended it."""
        if self._close():
            try:
                if self.visit is not None:
                    self.visit.rejected()
            except Exception as error:  # noqa: BLE001 - a bug of ours
                self._broke(error)
            self._end_trace("rejected")

    def abandoned(self) -> None:
        """The caller has left. After another end this does nothing."""
        if self._close():
            try:
                if self.visit is not None:
                    self.visit.abandoned()
                self._accounting.abandoned(self)
            except Exception as error:  # noqa: BLE001 - a bug of ours: its stream has to be stopped all the same
                self._broke(error)
            self._end_trace("abandoned")

    def _broke(self, error: Exception) -> None:
        """Log an error of our own; what was granted to the key, and is not settled, is given back."""
        log.internal_error("accounting", self.asked, error)
        if self.visit is not None:
            self.visit.withdraw()

    def _end_trace(self, error: str) -> None:
        if self.trace is not None:
            try:
                self.trace.ended(error)
            except Exception as raised:  # noqa: BLE001 - a bug of ours
                log.internal_error("traces", self.asked, raised)

    def _close(self) -> bool:
        """Close the record; return whether this is the first end of the request."""
        if not self._open:
            return False
        self._open = False
        self._accounting.in_flight -= 1
        return True


class RecordedStream:
    """A stream whose end is recorded: answered at its `StreamDone`, abandoned where it is closed before.

    Attributes:
        head: the head of the stream.
    """

    def __init__(self, stream: AnswerStream, record: RequestRecord) -> None:
        """Pass `stream` on, and note its end in `record`."""
        self._stream = stream
        self._record = record
        self.head = stream.head if record.visit is None else record.visit.headed(stream.head)
        record.began(stream.head)

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Give what the stream gives, to its `StreamDone`; what a key pays for is counted on its way."""
        visit = self._record.visit
        try:
            async for item in self._stream:
                if type(item) is TextDelta:  # `isinstance` asks the metaclass where that is not so
                    if visit is not None:
                        visit.wrote(item)
                elif type(item) is StreamDone:
                    item = StreamDone(traced(item.answer, visit))  # noqa: PLW2901 - its end
                    self._record.answered(item.answer)
                yield item
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop the stream."""
        self._record.abandoned()
        await self._stream.aclose()
