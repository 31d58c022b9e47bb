"""Watches the model that writes a stream: how long it is silent, and how fast it writes."""

import asyncio
from typing import Any

from deployments.execution.attempt import Begun
from deployments.execution.clock import SHORTEST_TIMER_S
from deployments.observability import log
from deployments.policy.extras import Extras
from deployments.policy.outcome import Failed, StreamItem, TimedOut
from deployments.policy.pace import PaceEstimator, PaceMeter


class StreamWatch:
    """Reads one stream behind its first content, within the limits of its model.

    All silences have one timer, which is armed again only when it fires. It ends a wait as `asyncio.timeout` does: it
    cancels the task and takes the cancellation back (`Task.uncancel`). `asyncio.timeout` would make and cancel a timer
    for each item, where this only reads the clock.
    """

    def __init__(self, model: str, paces: PaceEstimator, stall_s: float, crawl_s: float) -> None:
        """Watch `model` write.

        Args:
            model: the name of the model.
            paces: the paces of models, which learn from this stream.
            stall_s: the longest silence.
            crawl_s: seconds at a tenth of the usual pace after which the stream crawls.
        """
        self._model, self._paces, self._stall_s = model, paces, stall_s
        self._loop = asyncio.get_running_loop()
        self._meter = PaceMeter(paces.usual(model), crawl_s, self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._since = 0.0
        self._fired = False

    @property
    def crawls(self) -> bool:
        """Whether the model writes far slower than it usually does."""
        return self._meter.crawls

    async def next(self, begun: Begun, asked: float) -> StreamItem:
        """Return the next item of `begun`; `TimedOut` behind a silence that is too long, `Failed` behind an error.

        Args:
            begun: the stream.
            asked: the time, on the event loop's clock.
        """
        self._since = asked
        self._waiting = task = asyncio.current_task(self._loop)
        cancelling = 0 if task is None else task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(asked + self._stall_s, self._look)
        try:
            item = await begun.next()
        except asyncio.CancelledError:
            if self._taken_back(task, cancelling):
                return TimedOut(f"silent for {self._stall_s:g} s")
            raise
        except Exception as error:  # noqa: BLE001 - a bug in a model client must not cut the answer
            self._taken_back(task, cancelling)
            log.internal_error("relay", self._model, error)
            return Failed(f"internal error while its stream was relayed: {type(error).__name__}")
        finally:
            self._waiting = None
        now = self._loop.time()
        if isinstance(item, Extras):
            self._meter.note_beside(now - asked, now, at_work=bool(item.message))
        else:
            self._meter.note(len(item) if isinstance(item, str) else 0, now - asked, now)
        return item

    def _taken_back(self, task: "asyncio.Task[Any] | None", cancelling: int) -> bool:
        """Take back the cancellation that ended a wait, if one has; return whether nobody else has cancelled the task.

        So too where the client made another error of it: a task that stays cancelled takes the next cancellation that a
        call passes on for its own.
        """
        if not self._fired or task is None:
            return False
        self._fired = False
        return task.uncancel() <= cancelling

    def finished(self) -> None:
        """Learn the pace of a stream that has come to its proper end."""
        self._paces.add(self._model, self._meter)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        due = self._since + self._stall_s
        now = self._loop.time()
        if self._waiting is None:  # the reader waits for nothing: that is no silence of the model
            self._timer = self._loop.call_at(now + self._stall_s, self._look)
        elif now < due:
            self._timer = self._loop.call_at(max(due, now + SHORTEST_TIMER_S), self._look)
        else:
            self._timer = None
            self._fired = True
            self._waiting.cancel()
