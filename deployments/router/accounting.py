"""What one router keeps book of: requests in flight, answers given, and what is told of each of them."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from deployments.execution.clock import LoopClock
from deployments.observability import log, metrics
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.stream_events import AnswerStream, StreamDone, StreamHead, TextDelta


class RequestAccounting:
    """The book of one router."""

    def __init__(self, clock: LoopClock) -> None:
        """Begin with nothing; `clock` is the one that `RequestRecord.started` was read on."""
        self._clock = clock
        self.in_flight = 0
        self.arriving = 0
        self._answers: Counter[Tier] = Counter()
        self._turned_away = 0

    def turned_away(self) -> None:
        """A request was answered without being read: there were too many."""
        self._turned_away += 1
        metrics.turned_away()

    def __enter__(self) -> None:
        """A request is being read, until it leaves."""
        self.arriving += 1

    def __exit__(self, *_: object) -> None:
        """It has been read, or not."""
        self.arriving -= 1

    def answered(self, entry: "RequestRecord", answer: Answer) -> None:
        """A request has been answered: count it, and say so where somebody else has answered."""
        seconds = self._clock() - entry.started
        self._answers[answer.served_by] += 1
        metrics.answered(answer, seconds)
        if answer.degraded:
            log.fallback(entry.request_id, entry.asked, answer, seconds, entry.content)

    def describe(self) -> dict[str, Any]:
        """For `/status`."""
        return {
            "in_flight": self.in_flight,
            "arriving": self.arriving,
            "answers": {tier.value: self._answers[tier] for tier in Tier},
            "turned_away": self._turned_away,
        }


class RequestRecord:
    """One request in the book."""

    def __init__(
        self, accounting: RequestAccounting, request_id: str, asked: str, started: float, content: str
    ) -> None:
        """Open an entry.

        Args:
            accounting: the book.
            request_id: for the log.
            asked: the model asked for.
            started: when the request arrived, on the event loop's clock.
            content: its text where content may be logged, else empty.
        """
        self._accounting = accounting
        self.request_id = request_id
        self.asked = asked
        self.started = started
        self.content = content
        self._open = False

    def enter(self) -> None:
        """It is in flight."""
        self._open = True
        self._accounting.in_flight += 1

    def leave(self) -> None:
        """It is not any more; leaving twice is leaving once."""
        if self._open:
            self._open = False
            self._accounting.in_flight -= 1

    def answered(self, answer: Answer) -> None:
        """Its answer is complete."""
        self._accounting.answered(self, answer)


class RecordedStream:
    """An answer's stream whose end goes into the book."""

    def __init__(self, stream: AnswerStream, entry: RequestRecord) -> None:
        """Pass on `stream`; `entry` is in flight until it is over or closed."""
        self._stream = stream
        self._entry = entry

    @property
    def head(self) -> StreamHead:
        """What is known at the first content."""
        return self._stream.head

    async def __aiter__(self) -> AsyncIterator[TextDelta | StreamDone]:
        """Texts, then one `StreamDone`."""
        try:
            async for item in self._stream:
                if isinstance(item, StreamDone):
                    self._entry.answered(item.answer)
                    self._entry.leave()
                yield item
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop, and leave the book."""
        self._entry.leave()
        await self._stream.aclose()
