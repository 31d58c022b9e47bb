"""Who is asked for a request, in which order, and how each of them is reached.

    the model asked for ─► its `fallbacks` ─► the remote backup, if there is one ─► the local backup
    └──────────── primary tier ───────────┘  └───────────────── backup tier ──────────────────────┘

A model is a Serve application of its own, which the registry finds, or a remote one, which the policy declares.
"""

import random

from deployments.execution.attempt import ModelClient
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.resilience import ResilienceState
from deployments.request import InferenceRequest
from deployments.router.registry import Registry
from deployments.settings import PolicySettings
from deployments.upstream import UpstreamPool


class ChainBuilder:
    """The routes of one router."""

    def __init__(
        self, registry: Registry, upstreams: UpstreamPool, resilience: ResilienceState, backup_name: str
    ) -> None:
        """Route to what `registry` and `upstreams` know; `backup_name` is the local backup's."""
        self._registry = registry
        self._upstreams = upstreams
        self._resilience = resilience
        self._backup_name = backup_name
        # The orders follow from the policy and from few things of a request; each is worked out once.
        self._policy = PolicySettings()
        self._orders: dict[tuple[str, frozenset[Tier], bool], tuple[Candidate, ...]] = {}

    def asked(self, request: InferenceRequest, policy: PolicySettings) -> str:
        """The model that `request` is meant for."""
        return request.model or policy.default_model or self._backup_name

    def chain(self, request: InferenceRequest, policy: PolicySettings, started: float) -> FallbackChain:
        """The chain of `request`, which arrived at `started`."""
        candidates = self.candidates(request, policy)
        backup = next((c.model for c in candidates if c.tier is Tier.BACKUP), self._backup_name)
        first = candidates[0].model if candidates else self._backup_name
        latencies, streamed = self._resilience.latencies, request.stream
        reserves = policy.reserves.to_reserves(latencies.reserve_s(backup, streamed=streamed))
        hedges = request.hedge and len(candidates) > 1
        return FallbackChain(
            candidates,
            Deadline.after(started, request.timeout_s, reserves),
            policy.retries,
            hedge_after_s=latencies.hedge_after_s(first, backup, streamed=streamed) if hedges else float("inf"),
            first_content_s=policy.streams.first_content_seconds if streamed else float("inf"),
            waits=request.wait,
            rescue_rejected=policy.rescue.invalid,
            rescue_withheld=policy.rescue.content_filter,
            jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
        )

    def candidates(self, request: InferenceRequest, policy: PolicySettings) -> tuple[Candidate, ...]:
        """Who may be asked for `request`, best first; empty where its own wishes leave nobody."""
        if policy is not self._policy:
            self._policy, self._orders = policy, {}
        asked = self.asked(request, policy)
        key = (asked, request.tiers, request.fallback)
        if key not in self._orders:
            if len(self._orders) >= _MOST_ORDERS:  # callers may ask for any name
                self._orders.clear()
            self._orders[key] = self._order(asked, request, policy)
        return self._orders[key]

    def _order(self, asked: str, request: InferenceRequest, policy: PolicySettings) -> tuple[Candidate, ...]:
        backups = list(dict.fromkeys(name for name in (policy.backup_model, self._backup_name) if name))
        if asked in backups:  # asked for by its own name: it and those behind it
            primaries, backups = [], backups[backups.index(asked) :]
        else:
            primaries = list(dict.fromkeys((asked, *policy.fallbacks_of(asked))))
        order = [Candidate(Tier.PRIMARY, name) for name in primaries if name not in backups]
        order += [Candidate(Tier.BACKUP, name) for name in backups]
        allowed = [candidate for candidate in order if candidate.tier in request.tiers]
        if not request.fallback:
            allowed = [candidate for candidate in allowed if candidate.model == asked]
        return tuple(allowed)

    def client_of(self, candidate: Candidate) -> ModelClient:
        """How `candidate` is reached. A remote model goes before a Serve application of the same name."""
        if (remote := self._upstreams.find(candidate.model)) is not None:
            return remote
        if candidate.tier is Tier.BACKUP:
            return self._registry.backup
        return self._registry.find(candidate.model)


_MOST_ORDERS = 1024
