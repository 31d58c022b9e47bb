"""Watches the model that writes a stream: how long it is silent, and how fast it writes."""

import asyncio

from deployments.execution.attempt import Begun
from deployments.execution.idle import IdleError, IdleTimer
from deployments.policy.outcome import StreamItem, TimedOut
from deployments.policy.pace import PaceEstimator, PaceMeter


class StreamWatch:
    """Reads one stream behind its first content, within the limits of its model."""

    def __init__(self, model: str, paces: PaceEstimator, stall_s: float, crawl_s: float) -> None:
        """Watch `model` write.

        Args:
            model: the name of the model.
            paces: the paces of models, which learn from this stream.
            stall_s: the longest silence.
            crawl_s: seconds at a tenth of the usual pace after which the stream crawls.
        """
        self._model, self._paces = model, paces
        self._clock = asyncio.get_running_loop().time
        self._idle = IdleTimer(stall_s)
        self._meter = PaceMeter(paces.usual(model), crawl_s, self._clock())

    @property
    def crawls(self) -> bool:
        """Whether the model writes far slower than it usually does."""
        return self._meter.crawls

    async def next(self, begun: Begun) -> StreamItem:
        """Return the next item of `begun`; `TimedOut` behind a silence that is too long. Other errors are raised."""
        asked = self._clock()
        try:
            item = await self._idle.watch(begun.next())
        except IdleError as error:
            return TimedOut(str(error))
        now = self._clock()
        self._meter.note(len(item) if isinstance(item, str) else 0, now - asked, now)
        return item

    def finished(self) -> None:
        """Learn the pace of a stream that has come to its proper end."""
        self._paces.add(self._model, self._meter)

    def stop(self) -> None:
        """Stop the timer."""
        self._idle.stop()
