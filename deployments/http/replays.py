"""How long a request has been on its way when it reaches a router.

HAProxy asks another router where the first one has died or gone silent. The second one would begin the deadline anew,
and answer up to twice as late as the caller has asked for. So HAProxy tells with each request when it had the whole of
it (`neverblank-haproxy` adds the line), by the clock of its own host. Hosts' clocks differ: what counts is how much
longer ago that is than for the quickest of the last requests from the same host. A clock that is set anew misleads
until so many requests have come, and no longer.
"""

import time
from collections import deque
from collections.abc import Callable

QUICKEST_OF = 64
"""Requests of a host of which the quickest is taken for one that was on its way for no time."""

MOST_HOSTS = 256
SHORTEST_S = 1.0
"""What is shorter is the usual way, and the difference of clocks that are set; a replay takes two seconds and more."""

_DIGITS = 16


class Arrivals:
    """What HAProxies have told of the requests of one router."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """Begin with nothing; `wall_clock` gives seconds since 1970."""
        self._wall_clock = wall_clock
        self._ways_s: dict[str, deque[float]] = {}

    def age_s(self, told: str) -> float:
        """Return the seconds that a request has been on its way, 0 where that is the usual time or cannot be known.

        Args:
            told: the header's value: milliseconds since 1970, a space, and the host that says so.
        """
        at, _, host = told.partition(" ")
        if not (at.isascii() and at.isdecimal() and len(at) < _DIGITS):
            return 0.0
        if (ways := self._ways_s.get(host)) is None:
            if len(self._ways_s) == MOST_HOSTS:
                self._ways_s.pop(next(iter(self._ways_s)))
            ways = self._ways_s[host] = deque(maxlen=QUICKEST_OF)
        way_s = self._wall_clock() - int(at) / 1000
        ways.append(way_s)
        longer_s = way_s - min(ways)
        return longer_s if longer_s >= SHORTEST_S else 0.0


ARRIVALS = Arrivals()
"""Of this process."""
