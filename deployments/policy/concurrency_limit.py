"""How many attempts a model is given at a time: an adaptive limit on concurrency.

Additive increase, multiplicative decrease (Chiu and Jain, 1989; Netflix' concurrency-limits, `AIMDLimit`) on latency
as TCP Vegas reads it: a model that takes `tolerance` times what it takes unloaded has a queue, and what is beyond the
limit is better asked of somebody else. Until it has been too slow once, the limit doubles (slow start: Jacobson, 1988):
a model that can take far more than where its limit starts is not to be found out one place at a time.

The unloaded latency is the median of attempts that began and ended when hardly any other was under way. Under lasting
load there are none, so it does not drift up with the queue; a model that has really become slower brings its limit down
to `min_limit`, where all attempts are of that kind, and is measured afresh. Until there has been one, the least that
several attempts took stands for it.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from msgspec import Struct

SAMPLES = 8
"""Attempts a verdict needs, all begun since the last one: a queue is not to be punished twice."""

UNLOADED_SAMPLES = 32
LARGEST_CUT = 0.5
GROW_SHARE = 0.5
"""A limit grows when this much of it has been taken at a time: before anybody is refused."""


class LimitPolicy(Struct, frozen=True):
    """The bounds of all limits.

    Attributes:
        min_limit: no limit falls below it, 1 or more.
        max_limit: nor grows above it.
        initial_limit: where a limit starts, within these.
        tolerance: how many times its unloaded latency a model may take.
        reserved_share: of the backup's limit, kept for requests whose own model has failed; 0 to 1.
        patience_s: no model is full before it takes this many seconds, whatever it takes unloaded: what takes
            milliseconds may take several times as long before anybody is better off elsewhere.
        backup_patience_s: the same for the backup: those who are sent to it have nobody else, and would rather wait.

    Raises:
        ValueError: a number that makes no sense, by its name.
    """

    min_limit: int = 2
    max_limit: int = 512
    initial_limit: int = 128
    tolerance: float = 2.0
    reserved_share: float = 0.5
    patience_s: float = 0.25
    backup_patience_s: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_limit <= self.max_limit:
            raise ValueError("min_limit is at least 1, max_limit at least min_limit")
        if self.tolerance < 1 or not 0 <= self.reserved_share <= 1 or min(self.patience_s, self.backup_patience_s) < 0:
            raise ValueError("tolerance is at least 1, reserved_share from 0 to 1, patience not negative")


@dataclass(slots=True)
class AdaptiveLimiter:
    """The limit of one model.

    Attributes:
        policy: its bounds.
        patience_s: seconds below which the model is never called slow.
        in_flight: attempts under way.
    """

    policy: LimitPolicy
    patience_s: float = 0.0
    in_flight: int = 0
    _limit: float = 0.0
    _unloaded_s: deque[float] = field(default_factory=lambda: deque(maxlen=UNLOADED_SAMPLES))
    _window: list[float] = field(default_factory=list)
    _peak: int = 0
    _slow_start: bool = True
    _least: float = float("inf")
    _verdict_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._limit = float(self.policy.initial_limit)

    @property
    def value(self) -> int:
        """Attempts at a time, as things are."""
        return int(min(self.policy.max_limit, max(self.policy.min_limit, self._limit)))

    @property
    def untouched(self) -> bool:
        """Nothing has been learnt, and nothing is under way."""
        return not self.in_flight and not self._window and not self._unloaded_s

    def admit(self, share: float = 1.0) -> bool:
        """Take a place, if fewer than `share` of all are taken (one always counts as there)."""
        if self.in_flight >= max(1.0, share * self.value):
            return False
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return True

    @property
    def unloaded(self) -> bool:
        """Whether hardly any attempt is under way."""
        return self.in_flight <= self.policy.min_limit

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1

    def learn(self, seconds: float, started: float, now: float, *, unloaded: bool) -> None:
        """Learn from an attempt of `seconds` (infinite: it timed out); `unloaded`: hardly another ran beside it."""
        if unloaded and seconds != float("inf"):
            self._unloaded_s.append(seconds)
        if started < self._verdict_at:
            return
        self._window.append(seconds)
        if len(self._window) >= SAMPLES:
            self._judge(median(self._window), now)

    def _judge(self, seconds: float, now: float) -> None:
        self._least = min(self._least, seconds)
        unloaded = median(self._unloaded_s) if self._unloaded_s else self._least
        bound = max(self.patience_s, self.policy.tolerance * unloaded)
        if seconds > bound:
            self._limit = max(float(self.policy.min_limit), self.value * max(LARGEST_CUT, bound / seconds))
            self._slow_start = False
        elif self._peak >= GROW_SHARE * self.value:  # what is not used teaches nothing
            more = self.value if self._slow_start else 1
            self._limit = min(float(self.policy.max_limit), float(self.value + more))
        self._window.clear()
        self._peak = self.in_flight
        self._verdict_at = now
