"""A circuit breaker per model, so that callers do not wait for a model that is known to fail.

    Closed ──(`failures` in a row)──► Open ──(its time is over)──► HalfOpen ──(a probe succeeds)──► Closed
                                        ▲                             │
                                        └──────(a probe fails)────────┘

The pattern is Nygard's (Release It!, 2007). Rules kept here:

1. Only what a model did itself counts: exceptions, blanks and time-outs against it, answers for it. Refusals
   by back-pressure, mistakes of the caller and cancelled attempts count for nothing.
2. Half-open lets `probes` attempts through at a time and refuses the others.
3. An attempt speaks for the state that admitted it: one that was started before the breaker opened says
   nothing about a probe (the `epoch` of its permit is over).
4. An open breaker costs nobody an answer: the next candidate of the chain is asked at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from deployments.policy.answer import Candidate, Tier
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, Rejected, TimedOut


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again.

    Attributes:
        failures: that many in a row open it.
        open_s: seconds until it lets a probe through.
        probes: attempts let through at a time while half-open.
    """

    failures: int = 5
    open_s: float = 10.0
    probes: int = 1


@dataclass(frozen=True, slots=True)
class Closed:
    """All attempts pass."""

    epoch: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """No attempt passes before `until`."""

    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """`probing` attempts are finding out whether the model is well again."""

    epoch: int
    probing: int


BreakerState = Closed | Open | HalfOpen


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one attempt, to be handed back with its outcome."""

    epoch: int


class Evidence(Enum):
    """What an outcome says about the health of the model."""

    WELL = auto()
    ILL = auto()
    NOTHING = auto()


def evidence(outcome: Outcome) -> Evidence:
    """What `outcome` says about the model (rule 1)."""
    match outcome:
        case Answered():
            return Evidence.WELL
        case Blank() | Failed() | TimedOut():
            return Evidence.ILL
        case Refused() | Rejected() | Cancelled():
            return Evidence.NOTHING


def admit(state: BreakerState, policy: BreakerPolicy, now: float) -> tuple[BreakerState, Permit | Refused]:
    """Ask for leave to make an attempt at `now`."""
    match state:
        case Closed():
            return state, Permit(state.epoch)
        case Open(epoch, until) if now >= until:
            return HalfOpen(epoch + 1, probing=1), Permit(epoch + 1)
        case Open():
            return state, Refused("breaker open")
        case HalfOpen(epoch, probing) if probing < policy.probes:
            return HalfOpen(epoch, probing + 1), Permit(epoch)
        case HalfOpen():
            return state, Refused("breaker half-open, its probes are under way")


def record(state: BreakerState, policy: BreakerPolicy, permit: Permit, outcome: Outcome, now: float) -> BreakerState:
    """The state after an attempt made with `permit` has ended."""
    if permit.epoch != state.epoch:
        return state
    match state, evidence(outcome):
        case Closed(epoch, failures), Evidence.ILL:
            opens = failures + 1 >= policy.failures
            return Open(epoch + 1, now + policy.open_s) if opens else Closed(epoch, failures + 1)
        case Closed(epoch), Evidence.WELL:
            return state if state.failures == 0 else Closed(epoch)
        case HalfOpen(epoch), Evidence.ILL:
            return Open(epoch + 1, now + policy.open_s)
        case HalfOpen(epoch), Evidence.WELL:
            return Closed(epoch + 1)
        case HalfOpen(_, probing), Evidence.NOTHING:
            return replace(state, probing=max(0, probing - 1))
        case _:
            return state


BreakerListener = Callable[[str, BreakerState, BreakerState, str], None]
"""Told of every transition: model, state before, state after, and the reason of the attempt that caused it."""


@dataclass(slots=True)
class Breakers:
    """The breakers of all models, in one router.

    Only models of the primary tier have one. The backup is the last model there is: to refuse it would
    turn answers into last-resort messages and protect nobody.
    """

    policy: BreakerPolicy
    listener: BreakerListener
    _states: dict[str, BreakerState] = field(default_factory=dict)

    def admit(self, candidate: Candidate, now: float) -> Permit | Refused:
        """Ask for leave to make an attempt on `candidate`."""
        if candidate.tier is not Tier.PRIMARY:
            return _UNGUARDED
        before = self.state(candidate.model)
        after, permit = admit(before, self.policy, now)
        self._move(candidate.model, before, after, "probing")
        return permit

    def record(self, candidate: Candidate, permit: Permit, outcome: Outcome, now: float) -> None:
        """Hand `permit` back with what came of the attempt."""
        if permit is _UNGUARDED:
            return
        before = self.state(candidate.model)
        after = record(before, self.policy, permit, outcome, now)
        self._move(candidate.model, before, after, outcome.reason)

    def state(self, model: str) -> BreakerState:
        """The present state of the breaker of `model`."""
        return self._states.get(model, Closed())

    def _move(self, model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
        if after is before:
            return
        self._states[model] = after
        if type(after) is not type(before):
            self.listener(model, before, after, reason)


_UNGUARDED = Permit(epoch=-1)
