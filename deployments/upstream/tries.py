"""One attempt on several endpoints: the next one is asked where one fails, and beside one that is silent.

Another endpoint goes before another model, so the next endpoint is asked at half of the silence after which the next
model would be. Where that is not known yet, or a whole text of any length may be meant, a share of the time is waited.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from deployments.execution.attempt import Begun
from deployments.execution.flight import abandon
from deployments.execution.pulse import Pulse
from deployments.policy.outcome import Cancelled, Failed, Outcome, Refused, TimedOut
from deployments.policy.silence import Patience

MOST_TRIES = 3
"""Endpoints that are asked for one attempt."""

UNKNOWN_SHARE = 1 / 3
"""The share of the time left after which the next endpoint is asked where no measure says when."""

_GIVEN_UP = Cancelled("given up")


@dataclass(slots=True, eq=False)
class Asked:
    """An endpoint that has been asked.

    Attributes:
        task: asks it.
        started: the time at which it was asked.
        pulse: its signs of life.
        note: records how the try ended; called once.
    """

    task: asyncio.Task[Outcome | Begun]
    started: float
    pulse: Pulse
    note: Callable[[Outcome | Begun], None]

    @property
    def heard(self) -> float:
        """When it last showed that it is at work, or was asked."""
        return max(self.started, self.pulse.at)


Ask = Callable[[], Awaitable[Outcome | Begun]]
Choose = Callable[[], tuple[Ask, Callable[[Outcome | Begun], None]] | None]
"""Chooses the next endpoint; returns how to ask it and how to note its end, or `None` where no other may be asked."""


@dataclass(slots=True)
class Tries:
    """Asks endpoints until one answers.

    Attributes:
        choose: chooses the next endpoint.
        patience: for how long the endpoints may be silent, by what they usually take.
        left_s: seconds that the attempt may take.
    """

    choose: Choose
    patience: Patience
    left_s: float
    _running: list[Asked] = field(default_factory=list)
    _count: int = 0

    @property
    def after_s(self) -> float:
        """The seconds of silence after which the next endpoint is asked beside a silent one."""
        silent_s, failed_s = self.patience.silent_s, self.patience.failed_s
        if math.isfinite(failed_s):
            return failed_s / 2
        unknown_s = UNKNOWN_SHARE * self.left_s
        return max(silent_s / 2, unknown_s) if math.isfinite(silent_s) else unknown_s

    async def run(self) -> Outcome | Begun | None:
        """Return what the first endpoint gives that does not fail, else what the last one gave; `None` without any.

        Raises:
            asyncio.CancelledError: the attempt was cancelled; those who were asked have been cancelled before.
        """
        clock = asyncio.get_running_loop().time
        last: Outcome | Begun | None = None
        try:
            while self._start_next(clock()) or self._running:
                due = self._running[-1].heard + self.after_s if self._has_more else math.inf
                wait_s = None if math.isinf(due) else max(0.0, due - clock())
                tasks = [asked.task for asked in self._running]
                await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for asked in [asked for asked in self._running if asked.task.done()]:
                    last = self._ended(asked)
                    if isinstance(last, Begun) or not _is_of_endpoint(last):
                        self._overtake(asked)
                        return last
        except asyncio.CancelledError:
            await self._cancel(clock())
            raise
        finally:
            for asked in self._running:
                asked.note(_GIVEN_UP)
                abandon(asked.task)
        return last

    @property
    def _has_more(self) -> bool:
        return self._count < MOST_TRIES

    def _start_next(self, now: float) -> bool:
        """Ask the next endpoint if nobody is asked, or the latest is silent; return whether one was asked."""
        is_silent = not self._running or now >= self._running[-1].heard + self.after_s
        if not self._has_more or not is_silent:
            return False
        if (chosen := self.choose()) is None:
            self._count = MOST_TRIES
            return False
        self._count += 1
        ask, note = chosen
        pulse = Pulse(asyncio.get_running_loop().time)
        self._running.append(Asked(asyncio.ensure_future(_watched(ask, pulse)), now, pulse, note))
        return True

    def _ended(self, asked: Asked) -> Outcome | Begun:
        self._running.remove(asked)
        if asked.task.cancelled():  # from outside: nobody in here has
            result: Outcome | Begun = Failed("the call was cancelled from outside", transient=True)
        elif (error := asked.task.exception()) is not None:
            asked.note(_GIVEN_UP)
            raise error
        else:
            result = asked.task.result()
        asked.note(result)
        return result

    def _overtake(self, winner: Asked) -> None:
        """Give up those who were silent while `winner`, which was asked later, has answered: that is their failure."""
        for asked in [asked for asked in self._running if asked.started < winner.started]:
            self._running.remove(asked)
            is_telling = (
                math.isfinite(self.patience.failed_s) and asked.heard < winner.started and not asked.task.done()
            )
            asked.note(TimedOut("silent, while another endpoint answered") if is_telling else _GIVEN_UP)
            abandon(asked.task)

    async def _cancel(self, now: float) -> None:
        """Cancel everybody who was asked, and wait for that; a silence that was too long is a failure."""
        running, self._running = self._running, []
        for asked in running:
            asked.note(TimedOut("silent") if now >= asked.heard + self.patience.failed_s else _GIVEN_UP)
            asked.task.cancel()
        try:
            if running:
                await asyncio.wait([asked.task for asked in running])
        finally:
            for asked in running:
                abandon(asked.task)


async def _watched(ask: Ask, pulse: Pulse) -> Outcome | Begun:
    pulse.attach()
    return await ask()


def _is_of_endpoint(outcome: Outcome) -> bool:
    """Return whether another endpoint of the same model could do better."""
    match outcome:
        case Failed(misfit=misfit, cut=cut):
            return not misfit and not cut  # the model does that with this request, wherever it runs
        case TimedOut():
            return True
        case Refused(transient=transient):
            return transient
        case _:
            return False
