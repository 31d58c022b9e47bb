"""The chain of a request, and the client of each candidate in it.

    the model asked for ─► its `fallbacks` ─► the remote backup, if there is one ─► the local backup
    └──────────── primary tier ───────────┘  └───────────────── backup tier ──────────────────────┘

A model is found by the registry (an application of its own, or a member of a pool), or declared by the policy (remote).
"""

import math
import random
from collections.abc import Callable, Collection

from msgspec import Struct

from deployments.access.holder import HOLDER
from deployments.access.rights import Rights
from deployments.execution.attempt import ModelClient, NotAsked
from deployments.execution.execution import DroppedBy, does_everything
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Refused, Rejected
from deployments.policy.problem import UNSUPPORTED, InvalidRequestError, Problem
from deployments.policy.resilience import ResilienceState
from deployments.policy.retry import NO_RETRIES
from deployments.request import Feature, InferenceRequest
from deployments.request.passing import OF_TEXTS
from deployments.router.registry import Registry
from deployments.router.spaces import VectorSpaces
from deployments.settings import PolicySettings
from deployments.upstream import UpstreamPool

READS_IDS = "token_ids"
"""What a model that reads prompts of token ids has in its description."""

OF_OUR_OWN = frozenset({"n", "logprobs"})
"""The features that models of our own can have at all."""

_ANY_FEATURE = "*"


class _Order(Struct, frozen=True):
    """The candidates of a chain, best first, their first backup, and those that the key of the request excludes."""

    candidates: tuple[Candidate, ...]
    backup: str
    refused: tuple[tuple[Candidate, str], ...] = ()


class ChainBuilder:
    """Builds the chains of one router."""

    def __init__(
        self, registry: Registry, upstreams: UpstreamPool, resilience: ResilienceState, backup_name: str
    ) -> None:
        """Build chains of the models in `registry` and `upstreams`; `backup_name` is the name of the local backup."""
        self._registry = registry
        self._upstreams = upstreams
        self._resilience = resilience
        self._backup_name = backup_name
        self.spaces = VectorSpaces(registry, upstreams)
        # An order depends on the policy and on little of a request, so each is worked out once.
        self._policy = PolicySettings()
        self._limits = self._policy.stream_limits()
        self._orders: dict[tuple[str, frozenset[Tier], bool, int], _Order] = {}

    def asked(self, request: InferenceRequest, policy: PolicySettings) -> str:
        """Return the name of the model that `request` is meant for: its own, or the default."""
        return request.model or policy.default_model or self._backup_name

    def knows(self, model: str) -> bool:
        """Return whether somebody serves a model of that name, in whatever state."""
        return model == self._backup_name or self._registry.knows(model) or self._upstreams.find(model) is not None

    def chain(self, request: InferenceRequest, policy: PolicySettings, started: float) -> FallbackChain:
        """Return the chain of `request`, which arrived at `started` on the event loop's clock.

        Raises:
            InvalidRequestError: the request asks for something that none of the candidates could do.
        """
        # Best first; empty where the request's `tiers`, `fallback` or key exclude all.
        order = self._order_of(request, policy)
        candidates = order.candidates
        if request.features:
            self._require_takers(request, candidates, policy.ignored_features)
        first = candidates[0].model if candidates else self._backup_name
        latencies, streamed = self._resilience.latencies, request.stream
        reserves = policy.reserves.to_reserves(latencies.reserve_s(order.backup, streamed=streamed))
        hedges = request.hedge and len(candidates) > 1
        beside = candidates[1].model if hedges else ""
        return FallbackChain(
            candidates,
            Deadline.after(started, request.timeout_s, reserves),
            policy.retries if request.retry else NO_RETRIES,
            hedge_after_s=latencies.hedge_after_s(first, beside, streamed=streamed) if hedges else math.inf,
            first_content_s=policy.streams.first_content_seconds if streamed else math.inf,
            reasoning_s=policy.streams.reasoning_seconds if streamed else math.inf,
            limits=self._limits if streamed else {},
            usual_s=policy.timeout_seconds,
            waits=request.wait,
            rescue_rejected=policy.rescue.invalid,
            rescue_content=policy.rescue.content_filter,
            rescue_withheld=policy.rescue.content_filter,
            jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
        )

    def refused(self, request: InferenceRequest, policy: PolicySettings) -> tuple[tuple[Candidate, str], ...]:
        """Return the candidates that the key of the current request excludes, and why."""
        return self._order_of(request, policy).refused

    def _order_of(self, request: InferenceRequest, policy: PolicySettings) -> "_Order":
        if policy is not self._policy:
            self._policy, self._orders, self._limits = policy, {}, policy.stream_limits()
        asked = self.asked(request, policy)
        holder = HOLDER.get()
        key = (asked, request.tiers, request.fallback, 0 if holder is None else holder.rights.number)
        if key not in self._orders:
            if len(self._orders) >= _MOST_ORDERS:  # callers choose names, so the cache needs a bound
                self._orders.clear()
            candidates = self._order(asked, request, policy)
            refused = () if holder is None else self._refused(holder.rights, candidates)
            left = tuple(each for each in candidates if each not in dict(refused))
            backup = next((each.model for each in left if each.tier is Tier.BACKUP), self._backup_name)
            self._orders[key] = _Order(left, backup, refused)
        return self._orders[key]

    def _order(self, asked: str, request: InferenceRequest, policy: PolicySettings) -> tuple[Candidate, ...]:
        backups = list(dict.fromkeys(name for name in (policy.backup_model, self._backup_name) if name))
        if asked in backups:  # a backup is asked for by name: the chain begins with that backup
            primaries, backups = [], backups[backups.index(asked) :]
        else:
            primaries = list(dict.fromkeys((asked, *policy.fallbacks_of(asked))))
        order = [Candidate(Tier.PRIMARY, name) for name in primaries if name not in backups]
        order += [Candidate(Tier.BACKUP, name) for name in backups]
        allowed = [candidate for candidate in order if candidate.tier in request.tiers]
        if not request.fallback:
            allowed = [candidate for candidate in allowed if candidate.model == asked]
        return tuple(allowed)

    def _refused(self, rights: Rights, candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, str], ...]:
        """Return those of `candidates` that a key with these `rights` may not have, and why; they cannot be reached."""
        reasons = [(candidate, self._refusal(rights, candidate)) for candidate in candidates]
        return tuple((candidate, why) for candidate, why in reasons if why)

    def _refusal(self, rights: Rights, candidate: Candidate) -> str:
        remote = self._upstreams.find(candidate.model)
        return rights.refuse(candidate, None if remote is None else remote.spec.labels)

    def dropped_by(self, request: InferenceRequest) -> DroppedBy:
        """Return what tells the names of the `features` of `request` that a candidate does not have.

        A remote model has those that have a place in the format in which it is asked: it is asked for them, and says
        itself what it does not take. So does a model behind a server of OpenAI's format. A text completion that reaches
        one as a chat leaves behind what no chat has. A model of our own has those that its replica has described. One
        of which nothing is known yet is not ready, and drops nothing.
        """
        if not request.features:
            return does_everything

        def dropped(candidate: Candidate) -> tuple[str, ...]:
            return tuple(
                feature.name for feature in request.features if not self._may_have(candidate, feature, request)
            )

        return dropped

    def clients_for(self, request: InferenceRequest, asked: str) -> Callable[[Candidate], ModelClient]:
        """Return `client_of`, with a refusal in the place of models that may not answer `request`, meant for `asked`.

        Those are the models of another vector space, for a strict request those that lack a feature, and for a prompt
        of token ids those that read none. The trace then tells why they were not asked.
        """
        client_of = self.spaces.held_to(self._clients_with_features(request), request, asked)
        holder = HOLDER.get()
        return client_of if holder is None else self._held_to(holder.rights, client_of)

    def _held_to(
        self, rights: Rights, client_of: Callable[[Candidate], ModelClient]
    ) -> Callable[[Candidate], ModelClient]:
        """Return `client_of` with the rights of a key looked at once more: a model may have become a remote one."""

        def client_within_rights(candidate: Candidate) -> ModelClient:
            if why := self._refusal(rights, candidate):
                return NotAsked(Refused(why))
            return client_of(candidate)

        return client_within_rights

    def _clients_with_features(self, request: InferenceRequest) -> Callable[[Candidate], ModelClient]:
        if not (request.strict and request.features) and not request.prompt_tokens:
            return self.client_of
        needs = {feature.name: feature.field for feature in request.features if request.strict}
        dropped_by = self.dropped_by(request)

        def capable_client_of(candidate: Candidate) -> ModelClient:
            if request.prompt_tokens and not self._reads_tokens(candidate):
                return NotAsked(Rejected("it reads no token ids", "prompt", UNSUPPORTED, elsewhere=True))
            if dropped := [name for name in dropped_by(candidate) if name in needs]:
                reason = f"it cannot do all that the strict request asks for: {', '.join(dropped)}"
                return NotAsked(Rejected(reason, needs[dropped[0]], UNSUPPORTED, elsewhere=True))
            return self.client_of(candidate)

        return capable_client_of

    def _reads_tokens(self, candidate: Candidate) -> bool:
        if (kinds := self._passed_on(candidate)) is None or "text" in kinds:
            return True
        has = self._registry.features_of(candidate)
        return not kinds and (has is None or READS_IDS in has)

    def begins_remotely(self, chain: FallbackChain) -> bool:
        """Return whether the first candidate of `chain` is called without Serve."""
        return bool(chain.candidates) and self._upstreams.find(chain.candidates[0].model) is not None

    def _passed_on(self, candidate: Candidate) -> Collection[str] | None:
        """Return the kinds of requests that reach `candidate` as they were sent: it is remote, or runs a server.

        `None` where that is not known, as the models have not been seen yet, or its application is not built.
        """
        if (remote := self._upstreams.find(candidate.model)) is not None:
            return remote.spec.passes_on
        if candidate.tier is Tier.BACKUP:
            return ()
        offer = self._registry.find(candidate.model).offer
        return None if offer is None else offer.passes_on

    def _may_have(
        self, candidate: Candidate, feature: Feature, request: InferenceRequest, unsaid: Collection[str] = ()
    ) -> bool:
        """Return whether `candidate` has a feature of `request`; one that has not described itself has `unsaid`."""
        if (remote := self._upstreams.find(candidate.model)) is not None:
            return remote.has(feature, request)
        if (kinds := self._passed_on(candidate)) is None:
            return True
        if kinds:
            is_passed_on = ("text" if request.raw else "chat") in kinds or feature.name not in OF_TEXTS
            return is_passed_on and not feature.foreign
        has = self._registry.features_of(candidate)
        return feature.name in (unsaid if has is None else has)

    def _require_takers(
        self, request: InferenceRequest, candidates: tuple[Candidate, ...], ignored: Collection[str]
    ) -> None:
        for feature in request.features if _ANY_FEATURE not in ignored else ():
            # One that has not described itself yet may have it only where models of our own can.
            may = any(self._may_have(candidate, feature, request, OF_OUR_OWN) for candidate in candidates)
            if feature.essential and not may and feature.name not in ignored:
                accepted = "a request without it, or one that a remote model may answer"
                message = "is not supported by any model that may answer"
                raise InvalidRequestError(Problem(feature.field, message, accepted, code=UNSUPPORTED))

    def client_of(self, candidate: Candidate) -> ModelClient:
        """Return the client of `candidate`. A remote model goes before a Serve application of the same name."""
        if (remote := self._upstreams.find(candidate.model)) is not None:
            return remote
        if candidate.tier is Tier.BACKUP:
            return self._registry.backup
        return self._registry.find(candidate.model)


_MOST_ORDERS = 1024
