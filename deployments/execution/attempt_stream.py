"""One attempt's stream, read with a watch on its silences.

    begin()   reads up to the first content, within an attempt of a race
    pull()    the next item, once the attempt has won

Nothing is read ahead: who does not pull holds up whoever writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from deployments.execution.race import Judge
from deployments.observability import log
from deployments.policy.blank import is_blank
from deployments.policy.outcome import (
    Answered,
    Blank,
    Failed,
    Finished,
    Outcome,
    StreamEnd,
    StreamItem,
    TimedOut,
    answered_or_blank,
)

_TICK_S = 1e-4
"""The shortest wait that is set up: a clock may round a shorter one to nothing, and ring again at once."""

CUT = Failed("its stream was cut", transient=True)
"""The end of a stream that has none."""


class Source:
    """A stream that is being read.

    Attributes:
        text: what `begin` has read, not passed on yet.
        end: how the stream ended, where `begin` has read that far; else `None`.
    """

    def __init__(self, items: AsyncGenerator[StreamItem, None], model: str, stall_s: float) -> None:
        """Read `items`, which `model` writes; a silence of `stall_s` seconds ends them."""
        self.text = ""
        self.end: StreamEnd | None = None
        self._items = items
        self._model = model
        self._watch = _Watch(stall_s)

    async def begin(self, response_format: Judge | None, *, may_be_empty: bool) -> Outcome:
        """Read up to the first content.

        Args:
            response_format: holds the whole text to the form its caller wants; with it the stream is read to its end,
                as half a form is none. `None` where any text will do.
            may_be_empty: nothing more to say is an answer, too (the text it was to carry on was complete).

        Returns:
            `Answered` as soon as there is something to pass on, else how the stream failed.
        """
        pieces: list[str] = []
        while self.end is None:
            item = await self._next()
            if not isinstance(item, str):
                self.end = item
            elif item:
                pieces.append(item)
                if response_format is None and not is_blank(item):
                    self.text = "".join(pieces)
                    return Answered(self.text)
        self.text = "".join(pieces)
        return self._judged(self.end, response_format, may_be_empty=may_be_empty)

    def _judged(self, end: StreamEnd, response_format: Judge | None, *, may_be_empty: bool) -> Outcome:
        """What a stream that has ended without being passed on comes to."""
        if not isinstance(end, Finished):
            return end
        if is_blank(self.text) and end.tool_calls:
            answered: Outcome = Answered(
                {"tool_calls": list(end.tool_calls)}, end.usage, end.finish_reason, end.tool_calls
            )
        elif is_blank(self.text) and may_be_empty:
            return Answered("nothing more", end.usage, end.finish_reason)
        else:
            answered = answered_or_blank(
                self.text, end.usage, end.finish_reason, empty_reason="its stream had no content"
            )
            if isinstance(answered, Blank):
                return answered
        judged = answered if response_format is None else response_format(answered)
        if isinstance(judged, Answered) and isinstance(judged.result, str):
            self.text = judged.result
        return judged

    async def pull(self) -> StreamItem:
        """The next item; an end once, and nothing behind it."""
        try:
            return await self._watch.over(self._next())
        except StalledError as stalled:
            return TimedOut(str(stalled))

    async def aclose(self) -> None:
        """Stop whoever writes."""
        self._watch.stop()
        await self._items.aclose()

    async def _next(self) -> StreamItem:
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            return CUT
        except Exception as error:  # noqa: BLE001 - a caller that breaks its promise is a failed attempt, and a bug
            log.internal_error("stream", self._model, error)
            return Failed(f"internal error: {type(error).__name__}")


class StalledError(Exception):
    """Nothing has come for too long."""


class _Watch:
    """One timer for a whole stream, armed again only when it rings: an item costs two readings of the clock.

    It ends a wait the way `asyncio.timeout` does, by a cancellation that it takes back (`Task.uncancel`); that one
    would make and cancel a timer for each item.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._since = 0.0
        self._rang = False

    async def over(self, coming: Coroutine[Any, Any, StreamItem]) -> StreamItem:
        """Wait for `coming`, as long as a silence may last.

        Raises:
            StalledError: it has lasted longer.
        """
        self._since = self._loop.time()
        self._waiting = task = asyncio.current_task()
        cancelling = 0 if task is None else task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._stall_s, self._look)
        try:
            return await coming
        except asyncio.CancelledError:
            if self._rang and task is not None:
                self._rang = False
                if task.uncancel() <= cancelling:  # nobody else has cancelled the task
                    raise StalledError(f"silent for {self._stall_s:g} s") from None
            raise
        finally:
            self._waiting = None

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        due = self._since + self._stall_s
        now = self._loop.time()
        if self._waiting is None:  # its reader is busy with something else: that is no silence
            self._timer = self._loop.call_at(now + self._stall_s, self._look)
        elif now < due:
            self._timer = self._loop.call_at(max(due, now + _TICK_S), self._look)
        else:
            self._timer = None
            self._rang = True
            self._waiting.cancel()
