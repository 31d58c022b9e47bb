"""The time that counts are kept by: of all routers about the same, and in no router ever lower than before."""

from collections.abc import Callable
from time import monotonic, time
from typing import Protocol

_WHILE_AHEAD = 0.5
"""Seconds that pass in one while the clock of the machine is behind: it catches up, and nothing stands still."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        ...


class SteadyClock:
    """The clock of the machine, unless that is set back: then this one goes on, at half the pace until they agree.

    A window of time is thus never entered twice, and what was counted in it is not forgotten. `adjtime` sets clocks in
    the same way.
    """

    def __init__(self, clock: Clock = time, elapsed: Callable[[], float] = monotonic) -> None:
        """Follow `clock`; `elapsed` tells seconds that nobody can set."""
        self._clock, self._elapsed = clock, elapsed
        self._now, self._at = clock(), elapsed()

    def __call__(self) -> float:
        """Return the seconds since 1970, no fewer than before."""
        at = self._elapsed()
        self._now = max(self._clock(), self._now + (at - self._at) * _WHILE_AHEAD)
        self._at = at
        return self._now
