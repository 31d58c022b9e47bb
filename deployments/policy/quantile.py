"""Quantiles of what has been seen of late: exact, over a sliding window of observations.

A sketch (P², t-digest, DDSketch) holds more with less, but forgets nothing or only in steps. A few hundred numbers kept
in order answer exactly, follow a model that changes, and cost a bisection and a short move of memory each.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from dataclasses import dataclass, field

WINDOW_SIZE = 256
MAX_KEYS = 1024


@dataclass(slots=True)
class WindowedQuantile:
    """The last `WINDOW_SIZE` observations, in order of time and in order of size."""

    _recent: deque[float] = field(default_factory=deque)
    _sorted: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Observe `value`."""
        if len(self._recent) == WINDOW_SIZE:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(value)
        insort(self._sorted, value)

    @property
    def count(self) -> int:
        """How many observations it holds."""
        return len(self._recent)

    def value(self, quantile: float) -> float:
        """The observation that `quantile` (0 to 1) of all do not exceed.

        Raises:
            ValueError: nothing has been observed.
        """
        if not self._sorted:
            raise ValueError("no quantile of nothing")
        return self._sorted[min(len(self._sorted) - 1, int(quantile * len(self._sorted)))]


class Latencies:
    """Seconds that models took, whole answers and first contents apart; those asked longest ago are forgotten."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._seen: OrderedDict[tuple[str, bool], WindowedQuantile] = OrderedDict()

    def add(self, model: str, seconds: float, *, streamed: bool) -> None:
        """`model` has answered after `seconds`."""
        key = (model, streamed)
        if key not in self._seen:
            self._seen[key] = WindowedQuantile()
            if len(self._seen) > MAX_KEYS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        self._seen[key].add(seconds)

    def of(self, model: str, *, streamed: bool) -> WindowedQuantile:
        """What has been seen of `model`."""
        return self._seen.get((model, streamed), _NOTHING)


_NOTHING = WindowedQuantile()
