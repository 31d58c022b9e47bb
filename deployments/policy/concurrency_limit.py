"""An adaptive limit on the attempts that a model is given at a time.

Additive increase, multiplicative decrease (Chiu and Jain, 1989; Netflix' concurrency-limits, `AIMDLimit`) on latency
as TCP Vegas reads it: a model that takes `tolerance` times its unloaded latency has a queue, and attempts beyond the
limit are better made on another model. Until the model has been too slow once, its limit doubles (slow start: Jacobson,
1988), so that a model that can take far more than `initial_limit` is not explored one place at a time.

The unloaded latency is the median over attempts that began and ended while hardly any other attempt was under way.
Under lasting load there are no such attempts, so the median does not drift up with the queue. A model that has become
slower for good has its limit lowered to `min_limit`, where every attempt is unloaded, and is measured afresh. Before
the first unloaded attempt, the smallest median of any measurement stands in for the unloaded latency.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from deployments.policy.knob import Knobs, knob, seconds, share

SAMPLES = 8
"""Attempts that are measured before a limit changes. All were begun since its last change, so that one queue lowers it
only once."""

UNLOADED_SAMPLES = 32
LARGEST_CUT = 0.5
GROW_SHARE = 0.5
"""A limit grows once this share of it has been in use at a time, so that it grows before it refuses anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy(Knobs):
    """The bounds on requests in flight in one router, and on attempts in flight on each model."""

    max_in_flight: int = knob(1024, "Requests in one router at a time; further ones get the last resort at once.", ge=1)
    max_waiting: int = knob(
        256,
        "Requests in one router that may wait for a model to become ready; further ones get the last resort at once.",
        ge=0,
    )
    min_limit: int = knob(2, "The smallest adaptive limit: attempts of one router on one model at a time.", ge=1)
    max_limit: int = knob(512, "The largest adaptive limit of a model.", ge=1)
    initial_limit: int = knob(
        128,
        "The first adaptive limit of a model; moved to `min_limit` or `max_limit` where it is not between them.",
        ge=1,
    )
    tolerance: float = knob(
        2.0, "A model that takes this many times its unloaded latency is overloaded, and its limit falls.", ge=1, le=100
    )
    overload_min_seconds: float = seconds(0.25, "A model that takes less than this is never counted as overloaded.")
    backup_overload_min_seconds: float = seconds(
        5.0, "The same for the backup, longer because only the last resort is behind the backup."
    )
    backup_reserved_share: float = share(
        0.5, "The share of the backup's limit that is kept for requests whose own model has failed."
    )

    def contradictions(self) -> Iterator[str]:
        """Hold the largest limit to be no smaller than the smallest."""
        if self.max_limit < self.min_limit:
            yield f"max_limit: is {self.max_limit}, below min_limit ({self.min_limit}); accepted: at least that"


@dataclass(slots=True)
class AdaptiveLimiter:
    """The limit of one model.

    Attributes:
        policy: the bounds of the limit.
        overload_min_s: a model that takes less is never counted as slow.
        in_flight: attempts under way.
    """

    policy: LimitPolicy
    overload_min_s: float = 0.0
    in_flight: int = 0
    _limit: float = 0.0
    _unloaded_s: deque[float] = field(default_factory=lambda: deque(maxlen=UNLOADED_SAMPLES))
    _window: list[float] = field(default_factory=list)
    _peak: int = 0
    _slow_start: bool = True
    _least: float = float("inf")
    _measured_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._limit = float(self.policy.initial_limit)

    @property
    def value(self) -> int:
        """The current limit: attempts that may be under way at a time."""
        return int(min(self.policy.max_limit, max(self.policy.min_limit, self._limit)))

    @property
    def untouched(self) -> bool:
        """Whether the limiter holds no measurement and no attempt: it may be forgotten."""
        return not self.in_flight and not self._window and not self._unloaded_s

    def admit(self, share: float = 1.0) -> bool:
        """Take a place if fewer than `share` of the limit are taken, and say so; there is always at least one place."""
        if self.in_flight and self.in_flight >= share * self.value:
            return False
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return True

    @property
    def unloaded(self) -> bool:
        """Whether at most `min_limit` attempts are under way."""
        return self.in_flight <= self.policy.min_limit

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1

    def learn(self, seconds: float, started: float, now: float, *, unloaded: bool) -> None:
        """Learn from an attempt. One started before the last change of the limit does not count towards the next.

        Args:
            seconds: how long it took; infinite if it timed out.
            started: when it was started.
            now: the time.
            unloaded: the model was unloaded when it began and when it ended.
        """
        if unloaded and seconds != float("inf"):
            self._unloaded_s.append(seconds)
        if started < self._measured_at:
            return
        self._window.append(seconds)
        if len(self._window) >= SAMPLES:
            self._measure(median(self._window), now)

    def _measure(self, seconds: float, now: float) -> None:
        self._least = min(self._least, seconds)
        unloaded = median(self._unloaded_s) if self._unloaded_s else self._least
        bound = max(self.overload_min_s, self.policy.tolerance * unloaded)
        if seconds > bound:
            self._limit = max(float(self.policy.min_limit), self.value * max(LARGEST_CUT, bound / seconds))
            self._slow_start = False
        elif self._peak >= GROW_SHARE * self.value:  # a limit that is not used says nothing about the model
            more = self.value if self._slow_start else 1
            self._limit = min(float(self.policy.max_limit), float(self.value + more))
        self._window.clear()
        self._peak = self.in_flight
        self._measured_at = now
