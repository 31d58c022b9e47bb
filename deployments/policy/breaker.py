"""A circuit breaker per model, so that callers do not wait for a model that is known to fail.

    Closed ──(`failures` in a row, or too many of the window's)──► Open ──(its time is over)──► HalfOpen
      ▲                                                              ▲                             │ │
      └───────────────────────(a probe succeeds)─────────────────────┼─────────────────────────────┘ │
                                                                     └──────(a probe fails)──────────┘

The pattern is Nygard's (Release It!, 2007); the window and its minimum are Hystrix's. Rules kept here:

1. Only what a model did itself counts: exceptions, blanks, time-outs and stalls as failures, answers as successes.
   Refusals by back-pressure, invalid requests and cancelled attempts are neutral.
2. Half-open lets `probes` attempts through at a time and refuses the others.
3. An attempt counts only while the state that admitted it lasts: one that was started before the breaker opened does
   not decide about a probe (its `epoch` is over).
4. One burst is one event. Failures of attempts that ran at the same time, ended within `BURST_S` of each other, and had
   no answer in between have one cause (a host that was restarted, connections that died idle): they count once. A
   time-out lasts too long for that: each counts.
5. A silence (`silence.py`) is a failure until the attempt is answered after all; then it has never been one.
6. Each opening that follows a failed probe lasts twice as long as the one before, up to `open_max_seconds`, give or
   take 20 %, so that many routers do not probe at once. After a successful probe the next opening is a first one.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

from deployments.policy.backoff import Backoff
from deployments.policy.knob import Knobs, knob, seconds
from deployments.policy.outcome import (
    Answered,
    Blank,
    Cancelled,
    Failed,
    Finished,
    Outcome,
    Refused,
    Rejected,
    TimedOut,
)

BUCKETS = 10
"""Steps into which the sliding window is divided."""

BURST_S = 1.0
"""Seconds behind a failure within which failures of attempts that ran at the same time belong to the same event."""

JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy(Knobs):
    """The conditions under which the breaker of a model opens, and the time for which it stays open."""

    failures: int = knob(
        5, "Failures in a row that open a model's breaker; those that come at the same time count once.", ge=1
    )
    failure_rate: float = knob(
        0.5,
        "The share of failures within the window that opens the breaker, too; not those of a single moment.",
        gt=0,
        le=1,
    )
    window_seconds: float = seconds(30.0, "The length of the window.")
    window_min_attempts: int = knob(20, "Attempts within the window that are needed before the share is used.", ge=1)
    open_seconds: float = seconds(
        1.0, "The time until an open breaker lets a probe through; twice as long after each probe that fails."
    )
    open_max_seconds: float = seconds(10.0, "The longest that a breaker stays open.")
    probes: int = knob(1, "Attempts let through at a time while half-open.", ge=1)

    def contradictions(self) -> Iterator[str]:
        """Hold the longest time that a breaker stays open to be no shorter than the first."""
        if self.open_max_seconds < self.open_seconds:
            yield (
                f"open_max_seconds: is {self.open_max_seconds:g}, below open_seconds ({self.open_seconds:g}); "
                "accepted: at least that"
            )


class WindowStep(Struct, frozen=True):
    """The attempts that ended in one step of time: how many, how many of them failed, and in how many events."""

    number: int
    attempts: int = 0
    failures: int = 0
    events: int = 0


class Window(Struct, frozen=True):
    """Recent attempts, by steps of time."""

    steps: tuple[WindowStep, ...] = ()

    def add(self, now: float, step_s: float, *, failed: bool, event: bool = False) -> "Window":
        """Return the window with one more attempt, which ended at `now`; a step takes `step_s` seconds.

        Args:
            now: the time.
            step_s: the length of a step.
            failed: the attempt failed.
            event: its failure is not of the same burst as the one before.
        """
        number = int(now / step_s)
        if self.steps and self.steps[-1].number == number:  # the usual case: old steps were dropped as this one began
            last, kept = self.steps[-1], self.steps[:-1]
        else:
            last, kept = (
                WindowStep(number),
                tuple(step for step in self.steps if number - BUCKETS < step.number <= number),
            )
        return Window((*kept, WindowStep(number, last.attempts + 1, last.failures + failed, last.events + event)))

    def without_failure(self) -> "Window":
        """Return the window without its latest failure, which was none."""
        for place in reversed(range(len(self.steps))):
            if (step := self.steps[place]).failures:
                mended = WindowStep(
                    step.number, step.attempts - 1, step.failures - 1, min(step.events, step.failures - 1)
                )
                return Window((*self.steps[:place], mended, *self.steps[place + 1 :]))
        return self

    @property
    def attempts(self) -> int:
        """The number of attempts in the window."""
        return sum(step.attempts for step in self.steps)

    @property
    def events(self) -> int:
        """The number of failures in the window that count: those of one burst are one."""
        return sum(step.events for step in self.steps)

    @property
    def failure_rate(self) -> float:
        """The share of attempts that failed; 0 if there were none."""
        return sum(step.failures for step in self.steps) / max(1, self.attempts)


EMPTY = Window()


class Closed(Struct, frozen=True):
    """All attempts pass; since the last answer there were `failures` events, the latest of them at `failed_at`."""

    epoch: int = 0
    failures: int = 0
    window: Window = EMPTY
    failed_at: float = -math.inf


class Open(Struct, frozen=True):
    """No attempt passes before `until`. The breaker has opened `openings` times without a success in between."""

    epoch: int
    until: float
    openings: int = 1


class HalfOpen(Struct, frozen=True):
    """`probing` attempts test whether the model works again."""

    epoch: int
    probing: int
    openings: int = 1


BreakerState = Closed | Open | HalfOpen

BreakerListener = Callable[[str, BreakerState, BreakerState, str], None]
"""Called at every transition with model, state before, state after, and the reason of the attempt that caused it."""


def tell_nobody(*_: object) -> None:
    """Hear of the transitions of a state that is thrown away."""


class Admission(Struct, frozen=True):
    """Permission to make one attempt; `probe` says that the attempt tests whether the model works again."""

    epoch: int
    probe: bool


class Span(Struct, frozen=True):
    """When an attempt was started and when it ended."""

    started: float
    ended: float


class Evidence(Enum):
    """The meaning of an outcome for the health of its model."""

    SUCCESS = auto()
    FAILURE = auto()
    NEUTRAL = auto()


def evidence(outcome: Outcome | Finished) -> Evidence:
    """Classify `outcome` by rule 1."""
    match outcome:
        case Answered() | Finished():
            return Evidence.SUCCESS
        case Blank() | Failed() | TimedOut():
            return Evidence.FAILURE
        case Refused() | Rejected() | Cancelled():
            return Evidence.NEUTRAL


def admit(state: BreakerState, policy: BreakerPolicy, now: float) -> tuple[BreakerState, Admission | Refused]:
    """Ask for permission to make an attempt at `now`; return the state after that, and the permission or a refusal."""
    match state:
        case Closed():
            return state, Admission(state.epoch, probe=False)
        case Open(epoch, until, openings) if now >= until:
            return HalfOpen(epoch + 1, 1, openings), Admission(epoch + 1, probe=True)
        case Open():
            return state, Refused("breaker open")
        case HalfOpen(epoch, probing) if probing < policy.probes:
            return replace(state, probing=probing + 1), Admission(epoch, probe=True)
        case HalfOpen():
            return state, Refused("breaker half-open, its probes are under way")


def record(
    state: BreakerState,
    policy: BreakerPolicy,
    admission: Admission,
    outcome: Outcome | Finished,
    span: Span,
    draw: float,
) -> BreakerState:
    """Return the state after an attempt made with `admission` has ended; `draw` in [0, 1) jitters an opening."""
    if admission.epoch != state.epoch:
        return state
    now = span.ended
    match state, evidence(outcome):
        case Closed(), Evidence.SUCCESS:
            return Closed(state.epoch, 0, state.window.add(now, policy.window_seconds / BUCKETS, failed=False))
        case Closed(), Evidence.FAILURE:
            return _failed(state, policy, span, draw, alone=isinstance(outcome, TimedOut))
        case HalfOpen(epoch, _, openings), Evidence.FAILURE:
            return _opened(policy, epoch, openings + 1, now, draw)
        case HalfOpen(epoch), Evidence.SUCCESS:
            return Closed(epoch + 1)
        case HalfOpen(_, probing), Evidence.NEUTRAL:
            return replace(state, probing=max(0, probing - 1))
        case _:
            return state


def answered_after_all(state: BreakerState, admission: Admission, now: float) -> BreakerState:
    """Return the state after an attempt that was recorded as a failure, for its silence, has been answered.

    The failure is taken back. Where it has opened the breaker, the next attempt is a probe, at once.
    """
    match state:
        case Closed(epoch, _, window) if epoch == admission.epoch:
            return Closed(epoch, 0, window.without_failure())
        case Open(epoch, until) if epoch == admission.epoch + 1:
            return replace(state, until=min(until, now))
        case _:
            return state


def _failed(state: Closed, policy: BreakerPolicy, span: Span, draw: float, *, alone: bool) -> BreakerState:
    now = span.ended
    in_burst = state.failures > 0 and span.started < state.failed_at and now <= state.failed_at + BURST_S
    event = alone or not in_burst
    window = state.window.add(now, policy.window_seconds / BUCKETS, failed=True, event=event)
    failures = state.failures + event
    too_many = (
        window.attempts >= policy.window_min_attempts
        and window.failure_rate >= policy.failure_rate
        and window.events >= policy.failures
    )
    if failures >= policy.failures or too_many:
        return _opened(policy, state.epoch, 1, now, draw)
    return Closed(state.epoch, failures, window, now if event else state.failed_at)


def _opened(policy: BreakerPolicy, epoch: int, openings: int, now: float, draw: float) -> Open:
    pause_s = Backoff(policy.open_seconds, policy.open_max_seconds).pause_s(openings)
    jittered = pause_s * (1 - JITTER + 2 * JITTER * draw)
    return Open(epoch + 1, now + min(policy.open_max_seconds, jittered), openings)
