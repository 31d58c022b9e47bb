"""The state that a router keeps about its models between requests: breakers, limits, latencies, budgets.

The race asks for a permit before each attempt and hands the permit back with the outcome; nothing else changes the
state. No clock, no I/O: `now` is an argument, and so is the source of randomness.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from deployments.policy import breaker
from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import BreakerListener, BreakerPolicy, BreakerState, Closed
from deployments.policy.budget import Budget
from deployments.policy.concurrency_limit import AdaptiveLimiter, LimitPolicy
from deployments.policy.deadline import ReservePolicy
from deployments.policy.hedging import HedgingPolicy, LatencyEstimator
from deployments.policy.next_step import Allowance
from deployments.policy.outcome import Answered, Finished, Outcome, Refused, TimedOut, reason_for_log
from deployments.policy.retry import RetryPolicy

_MIN_RETRY_AFTER_S = 1.0
"""The shortest `retry_after_s` of a refusal at the limit."""


class ResiliencePolicy(Struct, frozen=True):
    """The sections of the policy that a `ResilienceState` follows.

    Attributes:
        breaker: when the breaker of a model opens.
        limits: the bounds of the adaptive limits.
        retries: the budget of retries.
        hedging: when a model counts as slow, and the budget of hedges.
        reserves: the bounds of the backup's reserve.
    """

    breaker: BreakerPolicy = BreakerPolicy()
    limits: LimitPolicy = LimitPolicy()
    retries: RetryPolicy = RetryPolicy()
    hedging: HedgingPolicy = HedgingPolicy()
    reserves: ReservePolicy = ReservePolicy()


@dataclass(slots=True)
class _ModelState:
    """The limit and the breaker of one model."""

    limit: AdaptiveLimiter
    breaker: BreakerState = field(default_factory=Closed)


class Permit(Struct, eq=False):
    """Permission to make one attempt, to be handed back with its outcome.

    Attributes:
        candidate: the model that may be asked.
        probe: the attempt tests whether a model whose breaker was open works again.
        started: the time at which the permit was given.
        streamed: the attempt is a stream.
        admission: the permission of the breaker.
        unloaded: hardly any other attempt on this model was under way when the permit was given.
        first_s: seconds until the first content of a stream; infinite before that, and for a whole answer.
        returned: the permit has been handed back.
    """

    candidate: Candidate
    probe: bool
    started: float
    streamed: bool
    admission: breaker.Admission
    unloaded: bool
    first_s: float = math.inf
    returned: bool = False


class ResilienceState:
    """The breakers, limits, latencies and budgets of one router.

    Attributes:
        latencies: the latencies of models.
    """

    def __init__(
        self,
        policy: ResiliencePolicy,
        listener: BreakerListener,
        local_backup: str,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Start without any observation.

        Args:
            policy: the policy in force; see the property.
            listener: called when a breaker opens, goes half-open or closes.
            local_backup: the name of the local backup. It has no breaker: only the last resort is behind it, so its
                refusals would turn answers into last-resort messages.
            draw: returns numbers in [0, 1).
        """
        self._listener = listener
        self._local_backup = Candidate(Tier.BACKUP, local_backup)
        self._draw = draw
        self._models: dict[str, _ModelState] = {}
        self.latencies = LatencyEstimator(policy.hedging, policy.reserves)
        self._retries, self._hedges = Budget(policy.retries.budget_share), Budget(policy.hedging.budget_share)
        self._policy = policy
        self._permits: dict[Permit, None] = {}

    @property
    def policy(self) -> ResiliencePolicy:
        """The policy in force. It may be replaced at any time: the state of the models stays.

        Replacing it cannot fail, as a policy validates itself when it is built.
        """
        return self._policy

    @policy.setter
    def policy(self, policy: ResiliencePolicy) -> None:
        self._policy = policy
        self._retries.share, self._hedges.share = policy.retries.budget_share, policy.hedging.budget_share
        self.latencies.policy, self.latencies.reserves = policy.hedging, policy.reserves
        for name, known in self._models.items():
            known.limit.policy = policy.limits
            known.limit.patience_seconds = self._patience_seconds(name)

    def begin(self, now: float) -> None:
        """Count a new request: each budget grows by its share."""
        self._retries.deposit(now)
        self._hedges.deposit(now)

    def allowance(self, now: float, *, hedge: bool = True, wait: bool = True) -> Allowance:
        """Return which extras may be made now; `hedge` or `wait` is false where the race has given that up."""
        return Allowance(self._retries.available(now), hedge and self._hedges.available(now), wait)

    def admit(self, candidate: Candidate, why: Why, now: float, *, direct: bool, streamed: bool) -> Permit | Refused:
        """Ask for a permit to make an attempt on `candidate`; a permit has to be handed back with `record`.

        Args:
            candidate: the model to be asked.
            why: retries and hedges are paid for from their budgets.
            now: the time.
            direct: the request was meant for this candidate from the start. Of the limit of the local backup, the share
                `backup_reserved_share` is closed to direct attempts: it is kept for requests whose model has failed.
            streamed: the attempt is a stream.
        """
        known = self._models.get(candidate.model) or self._new(candidate.model)
        state, admission = self._ask_breaker(candidate, known, now)
        if isinstance(admission, Refused):
            return admission
        share = 1 - self._policy.limits.backup_reserved_share if direct and candidate == self._local_backup else 1.0
        if not known.limit.admit(share):
            # The new state of the breaker is dropped: an attempt that is not made must not take the place of a probe.
            return Refused(
                f"at its limit of {known.limit.value} at a time", retry_after_s=self._retry_after_s(candidate)
            )
        self._models[candidate.model] = known
        self._move(candidate.model, known, state, "probing")
        if why is Why.RETRY:
            self._retries.withdraw(now)
        elif why is Why.HEDGE:
            self._hedges.withdraw(now)
        permit = Permit(candidate, admission.probe, now, streamed, admission, known.limit.unloaded)
        self._permits[permit] = None
        return permit

    def began(self, permit: Permit, now: float) -> None:
        """Record that the first content of a stream is there: hedges, reserve and limit learn from this latency."""
        permit.first_s = now - permit.started
        self._learn(permit, permit.first_s, now)

    def record(self, permit: Permit, outcome: Outcome | Finished, now: float) -> None:
        """Hand `permit` back with the outcome of the attempt.

        Raises:
            ValueError: the permit has been handed back before.
        """
        if permit.returned:
            raise ValueError(f"the permit for {permit.candidate.model} has been handed back before")
        permit.returned = True
        del self._permits[permit]
        model = permit.candidate.model
        known = self._models[model]
        if math.isinf(permit.first_s) and isinstance(outcome, (Answered, TimedOut)):
            self._learn(permit, now - permit.started if isinstance(outcome, Answered) else math.inf, now)
        known.limit.release()
        if permit.candidate != self._local_backup:
            policy, admission = self._policy.breaker, permit.admission
            after = breaker.record(known.breaker, policy, admission, outcome, now, self._draw())
            self._move(model, known, after, reason_for_log(outcome))
        if known.limit.untouched and known.breaker == Closed():  # callers choose names: what says nothing is not kept
            del self._models[model]

    def demand(self, now: float) -> int:
        """Return the number of attempts that are on the local backup, or will probably come to it.

        An attempt on another model will probably come to it once it is overdue: without an answer or first content
        after `LatencyEstimator.overdue_s`.
        """
        usual: dict[tuple[str, bool], float] = {}
        demand = 0
        for permit in self._permits:
            if permit.candidate == self._local_backup:
                demand += 1
            elif math.isinf(permit.first_s):
                key = (permit.candidate.model, permit.streamed)
                if key not in usual:
                    usual[key] = self.latencies.overdue_s(permit.candidate.model, streamed=permit.streamed)
                demand += now - permit.started > usual[key]
        return demand

    def state(self, model: str) -> BreakerState:
        """Return the state of the breaker of `model`; closed where nothing is known."""
        known = self._models.get(model)
        return known.breaker if known else Closed()

    def describe(self, model: str) -> dict[str, Any]:
        """Return the breaker, the limit and the latencies of `model`, for `/status`."""
        known = self._models.get(model) or self._new(model)
        state = known.breaker
        facts: dict[str, Any] = {
            "breaker": type(state).__name__.lower(),
            "failure_rate": round(state.window.failure_rate, 3) if isinstance(state, Closed) else 1.0,
            "in_flight": known.limit.in_flight,
            "limit": known.limit.value,
        }
        return {**facts, **self.latencies.describe(model)}

    def _new(self, model: str) -> _ModelState:
        return _ModelState(AdaptiveLimiter(self._policy.limits, self._patience_seconds(model)))

    def _patience_seconds(self, model: str) -> float:
        limits = self._policy.limits
        return limits.backup_patience_seconds if model == self._local_backup.model else limits.patience_seconds

    def _ask_breaker(
        self, candidate: Candidate, known: _ModelState, now: float
    ) -> tuple[BreakerState, breaker.Admission | Refused]:
        if candidate == self._local_backup:
            return known.breaker, breaker.Admission(known.breaker.epoch, probe=False)
        return breaker.admit(known.breaker, self._policy.breaker, now)

    def _learn(self, permit: Permit, seconds: float, now: float) -> None:
        """Learn that an answer, or the first content of a stream, took `seconds`; infinite for none in time."""
        limit = self._models[permit.candidate.model].limit
        if seconds < math.inf:
            self.latencies.add(permit.candidate.model, seconds, streamed=permit.streamed)
        # Unloaded: hardly any other attempt ran beside it, at its start and at its end.
        limit.learn(seconds, permit.started, now, unloaded=permit.unloaded and limit.unloaded)

    def _retry_after_s(self, candidate: Candidate) -> float:
        return max(_MIN_RETRY_AFTER_S, self.latencies.median_s(candidate.model))

    def _move(self, model: str, known: _ModelState, after: BreakerState, reason: str) -> None:
        before, known.breaker = known.breaker, after
        if type(after) is not type(before):
            self._listener(model, before, after, reason)
