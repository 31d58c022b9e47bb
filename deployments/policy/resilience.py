"""The state that a router keeps about its models between requests: breakers, limits, latencies, budgets.

The race asks for a permit before each attempt and hands the permit back with the outcome; nothing else changes the
state. No clock, no I/O: `now` is an argument, and so is the source of randomness.
"""

import math
import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from deployments.policy import breaker
from deployments.policy.allowance import Allowance
from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.breaker import BreakerListener, BreakerPolicy, BreakerState, Closed, Evidence
from deployments.policy.budget import Budgets
from deployments.policy.concurrency_limit import AdaptiveLimiter, LimitPolicy
from deployments.policy.deadline import ReservePolicy
from deployments.policy.forms import FormMemory
from deployments.policy.hedging import HedgingPolicy, LatencyEstimator
from deployments.policy.model_state import ModelState
from deployments.policy.outcome import Answered, Failed, Finished, Outcome, Refused, TimedOut, reason_for_log
from deployments.policy.pace import PaceEstimator
from deployments.policy.permit import Permit
from deployments.policy.retry import RetryPolicy
from deployments.policy.silence import SilencePolicy
from deployments.policy.terms import Terms, beyond_terms

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
        silence: when a silence speaks against a model.
    """

    breaker: BreakerPolicy = BreakerPolicy()
    limits: LimitPolicy = LimitPolicy()
    retries: RetryPolicy = RetryPolicy()
    hedging: HedgingPolicy = HedgingPolicy()
    reserves: ReservePolicy = ReservePolicy()
    silence: SilencePolicy = SilencePolicy()


class ResilienceState:
    """The breakers, limits, latencies and budgets of one router.

    Attributes:
        budgets: the budgets of retries and of hedges.
        latencies: the latencies of models.
        paces: the paces at which models write.
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
        self.listener = listener
        self._local_backup = Candidate(Tier.BACKUP, local_backup)
        self._draw = draw
        self._models: dict[str, ModelState] = {}
        self.latencies = LatencyEstimator(policy.hedging, policy.reserves)
        self.budgets = Budgets(policy.retries.budget_share, policy.hedging.budget_share)
        self._policy = policy
        self.paces = PaceEstimator()
        self._permits: dict[Permit, None] = {}
        self._forms = FormMemory()

    @property
    def policy(self) -> ResiliencePolicy:
        """The policy in force. It may be replaced at any time, which cannot fail: the state of the models stays."""
        return self._policy

    @policy.setter
    def policy(self, policy: ResiliencePolicy) -> None:
        self._policy = policy
        self.budgets.set_shares(policy.retries.budget_share, policy.hedging.budget_share)
        self.latencies.policy, self.latencies.reserves = policy.hedging, policy.reserves
        for name, known in self._models.items():
            known.limit.policy = policy.limits
            known.limit.overload_min_s = self._overload_min_s(name)

    def begin(self, now: float) -> None:
        """Count a new request: each budget grows by its share."""
        self.budgets.deposit(now)

    def allowance(self, now: float, *, wait: bool = True, skip: frozenset[Candidate] = frozenset()) -> Allowance:
        """Return which extras may be made now; the race says whether it `wait`s still, and whom to `skip`."""
        return self.budgets.allowance(now, wait=wait, skip=skip)

    def admit(self, candidate: Candidate, why: Why, now: float, terms: Terms, *, direct: bool) -> Permit | Refused:
        """Ask for a permit to make an attempt on `candidate`; a permit has to be handed back with `record`.

        Nothing changes where the attempt is refused: an attempt that is not made takes nobody's place.

        Args:
            candidate: the model to be asked.
            why: retries and hedges are paid for from their budgets; a candidate that was put behind is asked all the
                same where nobody else has answered.
            now: the time.
            terms: the terms of the request.
            direct: the request was meant for this candidate from the start. Of the limit of the local backup, the share
                `backup_reserved_share` is closed to direct attempts: it is kept for requests whose model has failed.
        """
        model = candidate.model
        known = self._models.get(model) or self._new(model)
        if (paused := known.cooldown.refusal(now)) is not None:
            return paused
        state, admission = self._ask_breaker(candidate, known, now)
        if not isinstance(admission, breaker.Admission):
            return admission
        form = None if why is Why.BEHIND else self._forms.ask(model, terms, self._policy.breaker, now)
        if form is not None and isinstance(form, Refused):
            return form
        if not known.limit.admit(self._share(candidate, direct=direct)):
            wait_s = max(_MIN_RETRY_AFTER_S, self.latencies.median_s(model))
            return Refused(f"at its limit of {known.limit.value} at a time", retry_after_s=wait_s)
        self._models[model] = known
        self._move(model, known, state, "probing")
        if form is not None:
            self._forms.take(model, terms, self._policy.breaker, now)
        self.budgets.pay(why, now)
        patience = self.latencies.patience(model, self._policy.silence, terms, suspected=known.suspected)
        permit = Permit(candidate, now, terms, admission, form, known.limit.unloaded, patience, known.suspected)
        self._permits[permit] = None
        return permit

    def began(self, permit: Permit, now: float) -> None:
        """Record that the first content of a stream is there: hedges, reserve and limit learn from this latency."""
        permit.first_s = now - permit.started
        known = self._models[permit.candidate.model]
        self._answered(permit, known, now)
        self._learn(permit, known, permit.first_s, now, None)

    def silent(self, permit: Permit) -> None:
        """Record that the attempt has been silent for far longer than its model usually is; once for each permit."""
        permit.silent = True
        if permit.candidate != self._local_backup:
            self._models[permit.candidate.model].suspected = True

    def charge(self, permit: Permit, now: float) -> None:
        """Record that its silence is a failure, unless an answer comes after all; once for each permit."""
        permit.charged = True
        if permit.candidate == self._local_backup:
            return
        known, silent_s = self._models[permit.candidate.model], now - permit.started
        reason = f"silent for {silent_s:.2f} s, far longer than it usually takes"
        is_long = permit.patience.failed_s > permit.patience.silent_s  # as a time-out: too long for a moment
        said = TimedOut(reason) if is_long else Failed(reason)
        span = permit.until(now)
        after = breaker.record(known.breaker, self._policy.breaker, permit.admission, said, span, self._draw())
        self._move(permit.candidate.model, known, after, said.reason)

    def runs_on(self, permit: Permit) -> bool:
        """Return whether an attempt that has been overtaken is to run on, to tell whether its model answers."""
        if math.isinf(permit.patience.silent_s) or permit.candidate == self._local_backup:
            return False
        if permit.charged:
            return self.is_awaited(permit)
        permit.watched = self._models[permit.candidate.model].take_watched()
        return permit.watched

    def is_awaited(self, permit: Permit) -> bool:
        """Return whether an attempt that has been overtaken, and whose silence is a failure, is to run on even so."""
        known = self._models[permit.candidate.model]
        known.watched -= permit.watched
        permit.watched, permit.late = False, known.take_late()
        return permit.late

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
        said = known.without_long_prompts(beyond_terms(outcome, permit.terms), permit.patience.prompt_ratio)
        if breaker.evidence(said) is Evidence.SUCCESS:
            self._answered(permit, known, now)
        if math.isinf(permit.first_s) and isinstance(outcome, (Answered, TimedOut)):
            answer = outcome if isinstance(outcome, Answered) else None
            self._learn(permit, known, math.inf if answer is None else now - permit.started, now, answer)
        known.cooldown.learn(outcome, permit.started, now, self._policy.retries.hold_seconds)
        known.limit.release()
        known.watched -= permit.watched
        known.late -= permit.late
        self._forms.record(permit, outcome, self._policy.breaker, now, self._draw())
        if permit.candidate != self._local_backup and not permit.charged:
            policy, admission = self._policy.breaker, permit.admission
            after = breaker.record(known.breaker, policy, admission, said, permit.until(now), self._draw())
            self._move(model, known, after, reason_for_log(outcome))
        if known.untouched:  # callers choose names: what says nothing is not kept
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
            elif math.isinf(permit.first_s) and not permit.watched and not permit.late:  # those have been answered for
                streamed = permit.terms.streamed
                key = (permit.candidate.model, streamed)
                if key not in usual:
                    usual[key] = self.latencies.overdue_s(permit.candidate.model, streamed=streamed)
                demand += now - permit.started > usual[key]
        return demand

    def state(self, model: str) -> BreakerState:
        """Return the state of the breaker of `model`; closed where nothing is known."""
        return known.breaker if (known := self._models.get(model)) else Closed()

    def reset(self, model: str) -> None:
        """Forget what speaks against `model`: its breakers close, and the pause that it asked for is over."""
        self._forms.forget(model)
        if known := self._models.get(model):
            self._move(model, known, known.forgiven(), "reset by the operator")

    def describe(self, model: str) -> dict[str, Any]:
        """Return the breaker, the limit and the latencies of `model`, for `/status`."""
        known = self._models.get(model) or self._new(model)
        state, behind = known.breaker, self._forms.behind(model)
        return {
            "breaker": type(state).__name__.lower(),
            "failure_rate": round(state.window.failure_rate, 3) if isinstance(state, Closed) else 1.0,
            "in_flight": known.limit.in_flight,
            "limit": known.limit.value,
            **({"behind": behind} if behind else {}),
            **self.latencies.describe(model),
        }

    def _new(self, model: str) -> ModelState:
        return ModelState(AdaptiveLimiter(self._policy.limits, self._overload_min_s(model)))

    def _overload_min_s(self, model: str) -> float:
        limits = self._policy.limits
        return limits.backup_overload_min_seconds if model == self._local_backup.model else limits.overload_min_seconds

    def _ask_breaker(
        self, candidate: Candidate, known: ModelState, now: float
    ) -> tuple[BreakerState, breaker.Admission | Refused]:
        if candidate == self._local_backup:
            return known.breaker, breaker.Admission(known.breaker.epoch, probe=False)
        return breaker.admit(known.breaker, self._policy.breaker, now)

    def _answered(self, permit: Permit, known: ModelState, now: float) -> None:
        """Note that the model has answered: it is not suspected, and a silence of this attempt was none."""
        known.suspected, known.excused, permit.silent = False, 0, False
        if permit.charged:
            permit.charged = False
            after = breaker.answered_after_all(known.breaker, permit.admission, now)
            self._move(permit.candidate.model, known, after, "it answered after all")

    def _share(self, candidate: Candidate, *, direct: bool) -> float:
        return 1 - self._policy.limits.backup_reserved_share if direct and candidate == self._local_backup else 1.0

    def _learn(self, permit: Permit, known: ModelState, seconds: float, now: float, answer: Answered | None) -> None:
        """Learn that `answer`, or the first content of a stream, took `seconds`; infinite for none in time."""
        if seconds < math.inf:
            self.latencies.add(permit.candidate.model, seconds, permit.terms, answer)
        # Unloaded: hardly any other attempt ran beside it, at its start and at its end.
        known.limit.learn(seconds, permit.started, now, unloaded=permit.unloaded and known.limit.unloaded)

    def _move(self, model: str, known: ModelState, after: BreakerState, reason: str) -> None:
        before, known.breaker = known.breaker, after
        if type(after) is not type(before):
            self.listener(model, before, after, reason)
