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
4. Each opening that follows a failed probe lasts twice as long as the one before, up to `open_max_seconds`, give or
   take 20 %, so that many routers do not probe at once. After a successful probe the next opening is a first one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

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

JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy(Knobs):
    """The conditions under which the breaker of a model opens, and the time for which it stays open."""

    failures: int = knob(5, "Failures in a row that open a model's breaker.", ge=1)
    failure_rate: float = knob(0.5, "The share of failures within the window that opens the breaker, too.", gt=0, le=1)
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


class Window(Struct, frozen=True):
    """Recent attempts. For each step of time: its number, the attempts that ended in it, and how many failed."""

    steps: tuple[tuple[int, int, int], ...] = ()

    def add(self, now: float, step_s: float, *, failed: bool) -> "Window":
        """Return the window with one more attempt, which ended at `now`; a step takes `step_s` seconds."""
        step = int(now / step_s)
        if self.steps and self.steps[-1][0] == step:  # the usual case: old steps were dropped when this step began
            number, attempts, failures = self.steps[-1]
            return Window((*self.steps[:-1], (number, attempts + 1, failures + failed)))
        kept = tuple(entry for entry in self.steps if step - BUCKETS < entry[0] <= step)
        return Window((*kept, (step, 1, int(failed))))

    @property
    def attempts(self) -> int:
        """The number of attempts in the window."""
        return sum(attempts for _, attempts, _ in self.steps)

    @property
    def failure_rate(self) -> float:
        """The share of attempts that failed; 0 if there were none."""
        return sum(failures for _, _, failures in self.steps) / max(1, self.attempts)


EMPTY = Window()


class Closed(Struct, frozen=True):
    """All attempts pass; the last `failures` of them have failed."""

    epoch: int = 0
    failures: int = 0
    window: Window = EMPTY


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


class Admission(Struct, frozen=True):
    """Permission to make one attempt; `probe` says that the attempt tests whether the model works again."""

    epoch: int
    probe: bool


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
    now: float,
    draw: float,
) -> BreakerState:
    """Return the state after an attempt made with `admission` has ended; `draw` in [0, 1) jitters an opening."""
    if admission.epoch != state.epoch:
        return state
    match state, evidence(outcome):
        case Closed(), (Evidence.FAILURE | Evidence.SUCCESS) as said:
            return _counted(state, policy, now, draw, failed=said is Evidence.FAILURE)
        case HalfOpen(epoch, _, openings), Evidence.FAILURE:
            return _opened(policy, epoch, openings + 1, now, draw)
        case HalfOpen(epoch), Evidence.SUCCESS:
            return Closed(epoch + 1)
        case HalfOpen(_, probing), Evidence.NEUTRAL:
            return replace(state, probing=max(0, probing - 1))
        case _:
            return state


def _counted(state: Closed, policy: BreakerPolicy, now: float, draw: float, *, failed: bool) -> BreakerState:
    window = state.window.add(now, policy.window_seconds / BUCKETS, failed=failed)
    if not failed:
        return Closed(state.epoch, 0, window)
    failures = state.failures + 1
    too_many = window.attempts >= policy.window_min_attempts and window.failure_rate >= policy.failure_rate
    if failures >= policy.failures or too_many:
        return _opened(policy, state.epoch, 1, now, draw)
    return Closed(state.epoch, failures, window)


def _opened(policy: BreakerPolicy, epoch: int, openings: int, now: float, draw: float) -> Open:
    # The exponent is bounded, as 2.0 ** 2000 overflows; the cap is reached long before.
    wanted = policy.open_seconds * 2.0 ** min(openings - 1, 60) * (1 - JITTER + 2 * JITTER * draw)
    return Open(epoch + 1, now + min(policy.open_max_seconds, wanted), openings)
