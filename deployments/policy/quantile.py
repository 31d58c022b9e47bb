"""Exact quantiles over a sliding window of observations.

A sketch (P², t-digest, DDSketch) needs less memory, but forgets old observations never, or only in steps. A few hundred
sorted numbers are exact and follow a model that changes. Each observation costs a bisection and a short move of memory.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from dataclasses import dataclass, field

WINDOW_SIZE = 256
MAX_KEYS = 1024


@dataclass(slots=True)
class WindowedQuantile:
    """The last `WINDOW_SIZE` observations, kept in order of time and in order of size."""

    _recent: deque[float] = field(default_factory=deque)
    _sorted: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add an observation; the oldest one goes when the window is full."""
        if len(self._recent) == WINDOW_SIZE:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(value)
        insort(self._sorted, value)

    def __deepcopy__(self, _memo: object) -> "WindowedQuantile":
        """Copy the two lists as they are: to visit every number in them takes milliseconds, for many models."""
        return WindowedQuantile(self._recent.copy(), self._sorted.copy())

    @property
    def count(self) -> int:
        """The number of observations in the window."""
        return len(self._recent)

    def value(self, quantile: float, *, spare: int = 0) -> float:
        """Return the observation that the share `quantile` (0 to 1) of all observations does not exceed.

        Args:
            quantile: the share.
            spare: at least this many of the largest are left out, if there are more than so many.

        Raises:
            ValueError: the window is empty.
        """
        if not self._sorted:
            raise ValueError("no quantile of nothing")
        last = len(self._sorted) - 1 - spare
        return self._sorted[min(last, int(quantile * len(self._sorted))) if last > 0 else 0]


class Latencies:
    """Latencies of the `MAX_KEYS` models that answered last, in seconds; whole answers and first contents apart."""

    def __init__(self) -> None:
        """Begin without observations."""
        self._seen: OrderedDict[tuple[str, bool], WindowedQuantile] = OrderedDict()

    def add(self, model: str, seconds: float, *, streamed: bool) -> None:
        """Add an answer of `model` that took `seconds`."""
        key = (model, streamed)
        if (seen := self._seen.get(key)) is None:
            seen = self._seen[key] = WindowedQuantile()
            if len(self._seen) > MAX_KEYS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        seen.add(seconds)

    def of(self, model: str, *, streamed: bool) -> WindowedQuantile:
        """Return the window of `model`; an empty one where nothing is known."""
        return self._seen.get((model, streamed), _NOTHING)


_NOTHING = WindowedQuantile()
