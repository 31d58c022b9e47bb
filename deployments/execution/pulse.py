"""Signs of life of an attempt, on their way from the stream that is read to the race that waits.

A race waits for the first content of its attempts. Before that, a model may reason, or write a tool call: each item of
its stream is a sign of life. The attempt is a task of its own, so the place to note the sign is a context variable of
that task: no client has to pass it on. Outside of an attempt, a sign of life is noted nowhere.
"""

import math
from collections.abc import Callable
from contextvars import ContextVar


class Pulse:
    """When the model of one attempt last showed that it is at work.

    Attributes:
        at: the time of the last sign; minus infinity before the first.
    """

    __slots__ = ("_clock", "_outer", "at")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Note times on `clock`."""
        self._clock = clock
        self._outer: Pulse | None = None
        self.at = -math.inf

    def attach(self) -> None:
        """Note the signs of life of whatever the running task reads from now on, and pass them on to whoever did."""
        self._outer = _pulse.get()
        _pulse.set(self)

    def beat(self) -> None:
        """Note a sign of life."""
        self.at = self._clock()
        if self._outer is not None:
            self._outer.beat()


class Beats(Pulse):
    """A pulse that tells somebody of each sign of life, and passes it on to the pulse that was attached before it."""

    __slots__ = ("_heard",)

    def __init__(self, heard: Callable[[], None]) -> None:
        """Call `heard` at each sign of life."""
        super().__init__(_no_time)
        self._heard = heard

    def beat(self) -> None:
        """Tell of a sign of life."""
        self._heard()
        super().beat()


def _no_time() -> float:
    return 0.0


def sign_of_life() -> None:
    """Note that the model whose stream the running task reads is at work."""
    if (pulse := _pulse.get()) is not None:
        pulse.beat()


_pulse: ContextVar[Pulse | None] = ContextVar("pulse", default=None)
