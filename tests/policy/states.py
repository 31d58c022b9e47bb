"""A resilience to be asked, and who asks it."""

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import BreakerState
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.outcome import Outcome, Refused
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.terms import ANY_TERMS, Terms

A = Candidate(Tier.PRIMARY, "a")
BACKUP = Candidate(Tier.BACKUP, "backup")
REMOTE_BACKUP = Candidate(Tier.BACKUP, "hosted")
SMALL = LimitPolicy(min_limit=1, max_limit=64, initial_limit=4, backup_reserved_share=0.5)


class Told(list[tuple[str, str, str, str]]):
    """A listener that writes down what it hears."""

    def __call__(self, model: str, before: BreakerState, after: BreakerState, reason: str) -> None:
        self.append((model, type(before).__name__, type(after).__name__, reason))


def a_guard(policy: ResiliencePolicy | None = None, told: Told | None = None) -> ResilienceState:
    return ResilienceState(
        policy or ResiliencePolicy(), told if told is not None else Told(), BACKUP.model, lambda: 0.5
    )


def admit(
    resilience: ResilienceState,
    candidate: Candidate = A,
    now: float = 0.0,
    *,
    why: Why = Why.NEXT,
    direct: bool = False,
    terms: Terms = ANY_TERMS,
) -> Permit | Refused:
    return resilience.admit(candidate, why, now, terms, direct=direct)


def attempt(
    resilience: ResilienceState,
    outcome: Outcome,
    started: float,
    ended: float,
    candidate: Candidate = A,
    terms: Terms = ANY_TERMS,
) -> None:
    permit = admit(resilience, candidate, started, terms=terms)
    assert isinstance(permit, Permit)
    resilience.record(permit, outcome, ended)
