"""How long a server has been silent towards those who wait for it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SilenceWatch:
    """Adds up the time for which requests have waited for a server since its last sign of life.

    A stuck server is asked by one caller after the other, and each gives up: none of them waits for long. So the times
    are added up, and a request that is given up takes nothing back. Every method may be called by any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody waiting; `clock` gives seconds since any moment."""
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0
        self._before_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A wait for the server, as long as the block lasts."""
        with self._lock:
            if not self._waiting:
                self._since = self._clock()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._before_s += self._clock() - self._since

    def sign(self) -> None:
        """Note a sign of life."""
        with self._lock:
            self._before_s, self._since = 0.0, self._clock()

    def silent_s(self) -> float:
        """Return the seconds for which somebody has waited since the last sign of life."""
        with self._lock:
            return self._before_s + (self._clock() - self._since if self._waiting else 0.0)
