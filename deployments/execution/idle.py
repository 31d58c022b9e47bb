"""The timeout of a stream's silences."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from deployments.execution.clock import SHORTEST_TIMER_S
from deployments.policy.outcome import StreamItem


class IdleError(Exception):
    """A stream was silent for too long."""


class IdleTimer:
    """A timeout for each wait of a stream, kept with one timer that is armed again only when it fires.

    The timer ends a wait as `asyncio.timeout` does: it cancels the task and takes the cancellation back
    (`Task.uncancel`). `asyncio.timeout` would make and cancel a timer for each item, where this only reads the clock.
    """

    def __init__(self, idle_s: float) -> None:
        """End each wait after `idle_s` seconds."""
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._since = 0.0
        self._fired = False

    async def watch(self, coming: Coroutine[Any, Any, StreamItem]) -> StreamItem:
        """Wait for `coming` and return its item.

        Raises:
            IdleError: `coming` took too long, and was cancelled.
        """
        self._since = self._loop.time()
        self._waiting = task = asyncio.current_task()
        cancelling = 0 if task is None else task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._idle_s, self._look)
        try:
            return await coming
        except asyncio.CancelledError:
            if self._fired and task is not None:
                self._fired = False
                if task.uncancel() <= cancelling:  # nobody else has cancelled the task
                    raise IdleError(f"silent for {self._idle_s:g} s") from None
            raise
        finally:
            self._waiting = None

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        due = self._since + self._idle_s
        now = self._loop.time()
        if self._waiting is None:  # the reader waits for nothing: that is no silence of the model
            self._timer = self._loop.call_at(now + self._idle_s, self._look)
        elif now < due:
            self._timer = self._loop.call_at(max(due, now + SHORTEST_TIMER_S), self._look)
        else:
            self._timer = None
            self._fired = True
            self._waiting.cancel()
