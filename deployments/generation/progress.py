"""Whether work that is under way advances: what the health of a replica is judged by.

    begin, end    of a piece of work: a call in a thread, a sequence in a batch, a request in an engine's process
    advance       a sign of life: a step of a batch, a token, a layer, an item of a stream
    held_up       the work waits for a reader that does not read: until the reader goes on, it is not under way
    stalled_s     how long work has been under way without a sign of life

Work belongs to the thread, coroutine or engine that does it, and not to the request: a caller that goes away does not
end the work of a thread that cannot be interrupted.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Counts the work that is under way, and notes its last sign of life. Every method may be called by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with no work under way; `clock` gives seconds since any moment."""
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = 0
        self._advanced = clock()

    def begin(self) -> None:
        """Count one more piece of work. It is a sign of life only where nothing else was under way."""
        with self._lock:
            if not self._under_way:
                self._advanced = self._clock()
            self._under_way += 1

    def end(self, *, advanced: bool = True) -> None:
        """Count one piece of work less; `advanced` is false where it was stopped instead of done."""
        with self._lock:
            self._under_way -= 1
            if advanced:
                self._advanced = self._clock()

    def advance(self, ago_s: float = 0.0) -> None:
        """Note a sign of life, `ago_s` seconds old. It takes no lock, as every layer of a model gives one."""
        self._advanced = max(self._advanced, self._clock() - ago_s)

    def stalled_s(self) -> float:
        """Seconds since the last sign of life of work that is under way; 0 where none is."""
        with self._lock:
            return max(0.0, self._clock() - self._advanced) if self._under_way else 0.0

    @contextmanager
    def work(self) -> Iterator[None]:
        """A piece of work that lasts as long as the block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """The caller's piece of work waits for a reader as long as the block lasts."""
        self.end()
        try:
            yield
        finally:
            self.begin()
