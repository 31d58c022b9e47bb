"""The router: runs the chain of a request, and counts and logs its answer. A plain class, bound to Serve in `app`.

HTTP ──► http ───────────────────┐
handle ──► handle_methods ───────┴─► answer, stream ──► ChainBuilder ──► execution ──► replicas and upstreams
└─ an error in here, or too many requests: the last-resort message
"""

import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import uuid4

from deployments.access.gate import Gate
from deployments.access.problems import forbidden
from deployments.execution.clock import loop_time
from deployments.observability import log
from deployments.observability.chores import close_all
from deployments.observability.fallback_log import FallbackQuery
from deployments.observability.key_metrics import key_asked
from deployments.observability.spans import describe_spans
from deployments.policy.answer import Answer
from deployments.policy.last_resort import LastResort
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import AnswerStream
from deployments.ray_serve.autoscaling import report
from deployments.ray_serve.metrics import flush_forever
from deployments.request import InferenceRequest
from deployments.request.acts import Act, ActKind
from deployments.request.body import Limits
from deployments.request.tokens import TokensRequest
from deployments.router.all_routers import AllRouters
from deployments.router.answering import Answering
from deployments.router.description import Description
from deployments.router.gauges import gauges_of
from deployments.router.handle_methods import HandleMethods
from deployments.router.model_replicas import Backup
from deployments.router.registry import ClusterView, Registry
from deployments.router.routing import ChainBuilder
from deployments.router.supervision import Supervisor
from deployments.router.tokenizers import Tokenizers
from deployments.settings import PolicySettings
from deployments.storage.keeper import ResponseKeeper
from deployments.upstream import UpstreamPool


class Router(HandleMethods):
    """One router process. Its breakers, limits and counts are its own; nothing is shared between routers."""

    def __init__(self, cluster: ClusterView, backup: Backup, backup_name: str, policy: PolicySettings) -> None:
        """Route with `policy` until `reconfigure` says otherwise.

        Args:
            cluster: the running Serve instance.
            backup: the replicas of the backup.
            backup_name: the name of the backup in answers.
            policy: the policy that `user_config` overrides in part.
        """
        self._base, self._policy = policy, policy.with_overrides({}, os.environ)
        self._name = uuid4().hex
        self._backup, self._cluster = backup, cluster
        self.gate = Gate(self._name, cluster.exchange_counts, log.keys_read, key_asked)
        self._registry = Registry(cluster, backup)
        self._upstreams = UpstreamPool(self._policy.remotes, lambda: cluster.service_id)
        self._resilience = ResilienceState(self._policy.to_resilience(), log.breaker_changed, backup_name)
        self._chains = ChainBuilder(self._registry, self._upstreams, self._resilience, backup_name)
        self._tokenizers = Tokenizers(self._registry, self._upstreams, backup_name)
        self._answering = Answering(
            lambda: cluster.service_id,
            self._registry,
            self._chains,
            self._resilience,
            backup_name,
            lambda: self._policy,
            self.gate,
        )
        self._accounting = self._answering.accounting
        self._all = AllRouters(cluster, self.describe, self.readiness, self._accounting.fallbacks)
        self._keeper = ResponseKeeper()
        self._description = Description(
            self._registry, self._upstreams, self._resilience, backup_name, self._answering.canary
        )
        self._background = Supervisor(
            {
                "discovery": lambda: self._registry.watch(lambda: self._policy.discovery_seconds),
                "metrics": lambda: flush_forever(lambda: gauges_of(self.describe(), self._resilience.budgets)),
                "replicas": lambda: cluster.watch_replicas(lambda: self._policy.replicas),
                "keys": self.gate.watch,
                "limits": self.gate.exchange_forever,
                "demand": lambda: report(self._demand, partial(self._backup.expect, self._name)),
                "canary": self._answering.canary.run,
                "interventions": lambda: self._all.follow(self._answering.hands),
            }
        )
        self._take_over(self._policy)

    def reconfigure(self, user_config: Mapping[str, Any] | None) -> None:
        """Take over a `user_config` in place. Serve calls this at the start, and after each change.

        Raises:
            SettingsError: the `user_config` is not valid; the policy in force stays.
        """
        try:
            self._take_over(self._base.with_overrides(user_config or {}, os.environ))
        except Exception as error:
            log.policy_refused(str(error))
            raise

    def answer(self, request: InferenceRequest, request_id: str, started: float) -> Coroutine[Any, Any, Answer]:
        """Answer a well-formed request; see `Answering.answer`."""
        return self._answering.answer(request, request_id, started)

    def stream(self, request: InferenceRequest, request_id: str, started: float) -> Coroutine[Any, Any, AnswerStream]:
        """Return a stream that answers, once its first content is there; see `Answering.stream`."""
        return self._answering.stream(request, request_id, started)

    def overloaded(self) -> bool:
        """Return whether a request that arrives now is turned away unread."""
        return self._accounting.in_flight + self._accounting.arriving >= self._policy.admission.max_in_flight

    def turn_away(self, *, refusal: bool = False) -> Answer:
        """Count a request that is turned away, and return its answer; `refusal` where the request demands a form."""
        self._accounting.turned_away()
        return LastResort(self._policy.last_resort.message, refusal).answer(retry_after_s=_RETRY_AFTER_S)

    def last_resort(self, *, refusal: bool) -> Answer:
        """Return the last resort for a request that broke outside of the chain; `refusal` as in `turn_away`."""
        return LastResort(self._policy.last_resort.message, refusal).answer()

    def gives_vectors(self, model: str) -> bool:
        """Return whether the answers of that model, or of the default for an empty name, are known to be vectors."""
        return bool(self._chains.spaces.of(model or self._policy.default_model or ""))

    def arrival(self) -> AbstractContextManager[None]:
        """Return a context manager to hold while a request is read: such requests count towards `overloaded`."""
        return self._accounting

    @property
    def limits(self) -> Limits:
        """The bounds of requests."""
        return self._limits

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        return self._policy.last_resort.status

    @property
    def cors_origins(self) -> Sequence[str]:
        """The origins whose pages may ask from a browser; none where that is off."""
        return self._policy.http.cors_origins

    @property
    def keeper(self) -> ResponseKeeper:
        """Keeps responses where the policy names a store."""
        return self._keeper

    @property
    def keepalive_s(self) -> float:
        """Seconds of silence after which a stream gives a sign of life; 0 for none."""
        return self._policy.streams.keepalive_seconds

    def describe_models(self) -> dict[str, Any]:
        """Return all models and the backup that the caller may name, in the form of OpenAI's list."""
        return self._description.models(self.gate.may_name)

    async def tokenize(self, asked: TokensRequest) -> Answer:
        """Return what a model's tokenizer answers; an answer that is `unavailable` where it does not.

        Raises:
            InvalidRequestError: there is no such model, or none with a tokenizer that takes the question; or the key of
                the request does not allow that it is asked (403).
        """
        model = self._chains.asked(asked.request, self._policy)
        self.gate.require_model(model)
        for candidate, why in self._chains.refused(asked.request, self._policy):
            if candidate.model == model:
                raise forbidden("model", f"{model} is {why}", "a model of a tier that the key has")
        return await self._tokenizers.ask(asked, model)

    async def readiness_of_all(self) -> dict[str, bool]:
        """Return for each tier whether it is ready in every router; where a router does not say, no model tier is."""
        return await self._all.readiness()

    async def status_of_all(self) -> dict[str, Any]:
        """Return the body of `GET /status`: what all routers know and have done."""
        return await self._all.status()

    async def fallbacks_of_all(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the body of `GET /v1/fallbacks`: the fallbacks of all routers that `query` asks for."""
        return await self._all.fallbacks(query)

    async def act(self, act: Act) -> dict[str, Any]:
        """Do what an operator asks for, in all routers; see `AllRouters.act`.

        What was done through another router is heard before: an act that was not would be undone by this one.

        Raises:
            InvalidRequestError: too many models are held or drained already.
        """
        hands = self._answering.hands
        await self._all.learn(hands)
        at = hands.moment(time.time())
        self.do(act, at)
        return await self._all.act(act, at)

    def do(self, act: Act, at: float) -> str:
        """Do in this router what an operator has asked for; return the id of its replica."""
        self._answering.hands.do(act, at)
        if act.kind is ActKind.RESET:
            self._resilience.reset(act.model)
        return self._cluster.own_replica

    def interventions(self) -> dict[str, Any]:
        """Return what an operator has done, for the other routers."""
        return self._answering.hands.describe()

    def require_admin(self) -> None:
        """Do nothing where the caller may act as an operator: where there are no keys, or the key is an admin's.

        Raises:
            InvalidRequestError: the key of the request is not an admin's.
        """
        self.gate.require_admin()

    def find_fallbacks(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the fallbacks of this router that `query` asks for, with the id of its replica."""
        return {"replica": self._cluster.own_replica, **self._accounting.fallbacks.find(query)}

    def readiness(self) -> dict[str, bool]:
        """Return for each tier whether it could answer in this router; see `description`."""
        return self._description.readiness()

    def warnings(self) -> list[str]:
        """Return what an operator should mend before something happens."""
        return self._description.warnings()

    def describe(self) -> dict[str, Any]:
        """Return what this router knows and has done, for `/status`."""
        return {
            "router": os.getpid(),
            "replica": self._cluster.own_replica,
            "default_model": self._policy.default_model,
            **self._description.status(),
            "access": self.gate.describe(self._description.knows),
            "responses": self._keeper.describe(),
            "traces": {"on": bool(self._policy.traces.endpoint), **describe_spans()},
            **self._answering.describe(),
            "background": self._background.describe(),
        }

    async def run(self) -> None:
        """Run the background tasks (discovery, metrics, demand) until this is cancelled; then close all connections."""
        try:
            await self._background.run()
        finally:
            await close_all("router", self._upstreams.aclose, self._answering.aclose, self._keeper.aclose)

    async def check_health(self) -> None:
        """Check discovery and the lock. Serve calls this; it replaces, or does not start, a router for which it raises.

        Raises:
            RuntimeError: no refresh was tried for `DISCOVERY_DEAD_S`, so models that have gone would still be called;
                or the port is open to other machines, and is not meant to be, or Serve does not say whether it is.
        """
        if (seconds := self._registry.silent_s()) > DISCOVERY_DEAD_S:
            raise RuntimeError(f"no refresh of the models was tried for {seconds:.0f} s")
        await self.gate.require_lock(self._cluster.is_exposed)

    def _demand(self) -> float:
        return self._resilience.demand(loop_time())

    def _take_over(self, policy: PolicySettings) -> None:
        """Put `policy` in force: as a whole, or not at all where this raises."""
        resilience, told = policy.to_resilience(), policy.to_log()
        limits, put_keys_in_force = Limits(*policy.request_bounds()), self.gate.prepare(policy)
        use_store = self._keeper.prepare(*policy.responses.place(os.environ))
        self._upstreams.update(policy.remotes, resilience)  # all or nothing by itself; the last step that can fail
        self._policy, self._limits, self._resilience.policy = policy, limits, resilience
        use_store()
        put_keys_in_force()
        log.policy_changed(told)


DISCOVERY_DEAD_S = 15.0
"""Seconds after which a router that has not even tried to refresh is replaced; a try takes ten at the most."""

_RETRY_AFTER_S = 1.0
"""The `retry-after` of requests that are turned away: by then most of the requests in flight have been answered."""
