"""The router: runs the chain of a request, and counts and logs its answer. A plain class, bound to Serve in `app`.

HTTP ──► http ───────────────────┐
handle ──► handle_methods ───────┴─► answer, stream ──► ChainBuilder ──► execution ──► replicas and upstreams
└─ an error in here, or too many requests: the last-resort message
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from deployments.access.gate import Gate
from deployments.execution.clock import loop_time
from deployments.execution.execution import Execution, NotReady
from deployments.execution.streams import CompletedStream, open_stream
from deployments.execution.structured_output import conform_to
from deployments.execution.vectors import conform_to_vectors
from deployments.execution.whole import run_chain
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.last_resort import LastResort
from deployments.policy.problem import InvalidRequestError
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import AnswerStream
from deployments.ray_serve.autoscaling import report
from deployments.ray_serve.metrics import flush_forever
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.hops import refuse_loops
from deployments.request.tokens import TokensRequest
from deployments.request.turns import quote
from deployments.router.accounting import RecordedStream, RequestAccounting, RequestRecord
from deployments.router.description import Description
from deployments.router.handle_methods import HandleMethods
from deployments.router.registered_model import Backup
from deployments.router.registry import ClusterView, Registry
from deployments.router.routing import ChainBuilder
from deployments.router.supervision import Supervisor
from deployments.router.tokenizers import Tokenizers
from deployments.router.visit import Visit, begin_visit, traced, visited
from deployments.router.waiting_room import WaitingRoom
from deployments.settings import PolicySettings
from deployments.upstream import UpstreamPool

_Given = TypeVar("_Given", Answer, AnswerStream)


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
        self.gate = Gate(self._name, cluster.exchange_counts, log.keys_read)
        self._registry = Registry(cluster, backup)
        self._upstreams = UpstreamPool(self._policy.remotes, lambda: cluster.service_id)
        self._resilience = ResilienceState(self._policy.to_resilience(), log.breaker_changed, backup_name)
        self._chains = ChainBuilder(self._registry, self._upstreams, self._resilience, backup_name)
        self._tokenizers = Tokenizers(self._registry, self._upstreams, backup_name)
        self._description = Description(self._registry, self._upstreams, self._resilience, backup_name)
        self._accounting = RequestAccounting()
        self._room = WaitingRoom(self._registry.readiness_of, lambda: self._policy.admission.max_waiting)
        self._background = Supervisor(
            {
                "discovery": lambda: self._registry.watch(lambda: self._policy.discovery_seconds),
                "metrics": flush_forever,
                "keys": self.gate.watch,
                "limits": self.gate.exchange_forever,
                "demand": lambda: report(self._demand, partial(self._backup.expect, self._name)),
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

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer a well-formed request. An error of our own is logged and answered with the last resort.

        Args:
            request: the request.
            request_id: for the log.
            started: when the request arrived, on the event loop's clock.

        Raises:
            InvalidRequestError: the model asked for, or the key, does not allow it; the policy may rescue the first.
            asyncio.CancelledError: the caller has gone away.
        """
        self._refuse_loops(request)
        visit = await begin_visit(self.gate, self._chains, request, self._policy, started)
        record = self._record(request, request_id, started, visit)
        answer = await self._execute(request, record, started, run_chain, lambda last_resort: last_resort)
        record.answered(answer := traced(answer, visit))
        return answer

    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> AnswerStream:
        """Return a stream that answers, once its first content is there. For the rest see `answer`."""
        self._refuse_loops(request)
        visit = await begin_visit(self.gate, self._chains, request, self._policy, started)
        record = self._record(request, request_id, started, visit)
        opening = partial(open_stream, rules=self._policy.streams)
        stream: AnswerStream = await self._execute(request, record, started, opening, CompletedStream)
        return RecordedStream(visited(stream, visit), record)

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
    def keepalive_s(self) -> float:
        """Seconds of silence after which a stream gives a sign of life; 0 for none."""
        return self._policy.streams.keepalive_seconds

    def describe_models(self) -> dict[str, Any]:
        """Return all models and the backup that the caller may name, in the form of OpenAI's list."""
        return self._description.models(self.gate.may_name)

    async def tokenize(self, asked: TokensRequest) -> Answer:
        """Return what a model's tokenizer answers; an answer that is `unavailable` where it does not.

        Raises:
            InvalidRequestError: there is no such model, or none with a tokenizer that takes the question.
        """
        model = self._chains.asked(asked.request, self._policy)
        self.gate.require_model(model)
        return await self._tokenizers.ask(asked, model)

    async def readiness_of_all(self) -> dict[str, bool]:
        """Return for each tier whether it is ready in every router; where a router does not say, no model tier is."""
        try:
            answers = await self._cluster.routers_readiness()
        except Exception as error:  # noqa: BLE001 - any error of Serve: a router that does not answer is not ready
            log.routers_not_asked(f"{type(error).__name__}: {error}")
            answers = ()
        return {
            tier: tier == Tier.LAST_RESORT or (bool(answers) and all(answer[tier] for answer in answers))
            for tier in self.readiness()
        }

    def readiness(self) -> dict[str, bool]:
        """Return for each tier whether it could answer in this router; see `description`."""
        return self._description.readiness()

    def describe(self) -> dict[str, Any]:
        """Return the body of `GET /status`."""
        return {
            "router": os.getpid(),
            "replica": self._cluster.own_replica,
            "default_model": self._policy.default_model,
            **self._description.status(),
            "waiting": self._room.size,
            "access": self.gate.describe(self._description.knows),
            "background": self._background.describe(),
            **self._accounting.describe(),
        }

    async def run(self) -> None:
        """Run the background tasks (discovery, metrics, demand) until this is cancelled; then close all connections."""
        try:
            await self._background.run()
        finally:
            await self._upstreams.aclose()

    async def check_health(self) -> None:
        """Check the lock and discovery. Serve calls this; it replaces, or does not start, a router for which it raises.

        Raises:
            RuntimeError: no refresh was tried for `DISCOVERY_DEAD_S`, so models that have gone would still be called;
                or the port is open to other machines, and is not meant to be.
        """
        await self.gate.require_lock(self._cluster.is_exposed)
        if (seconds := self._registry.silent_s()) > DISCOVERY_DEAD_S:
            raise RuntimeError(f"no refresh of the models was tried for {seconds:.0f} s")

    def _refuse_loops(self, request: InferenceRequest) -> None:
        if request.via:
            refuse_loops(request.via, self._cluster.service_id)

    def _demand(self) -> float:
        return self._resilience.demand(loop_time())

    def _take_over(self, policy: PolicySettings) -> None:
        """Put `policy` in force: as a whole, or not at all where this raises."""
        resilience, told = policy.to_resilience(), policy.to_log()
        limits, put_keys_in_force = Limits(*policy.request_bounds()), self.gate.prepare(policy)
        self._upstreams.update(policy.remotes, resilience)  # all or nothing by itself; the last step that can fail
        self._policy, self._limits, self._resilience.policy = policy, limits, resilience
        put_keys_in_force()
        log.policy_changed(told)

    async def _execute(
        self,
        request: InferenceRequest,
        record: RequestRecord,
        started: float,
        run: Callable[[Execution], Awaitable[_Given]],
        instead: Callable[[Answer], _Given],
    ) -> _Given:
        """Return what `run` gives, or `instead` of the last resort; any way out but a return is noted in `record`."""
        asked = record.asked
        last_tier = partial(self._chains.spaces.last_tier, self._policy.last_resort.message, request, asked)
        try:
            self._resilience.begin(loop_time())
            chain = self._chains.chain(request, self._policy, started)
            if request.wait and not self._chains.begins_remotely(chain):
                await self._registry.first_look(chain.deadline.cut_over)
            self._chains.spaces.require_vectors_whole(request, asked)
            return await run(
                Execution(
                    chain,
                    request,
                    self._chains.clients_for(request, asked),
                    self._resilience,
                    last_tier,
                    self._wait_ready,
                    conform_to_vectors(request) if request.vectors else conform_to(request.response_format),
                    self._chains.dropped_by(request),
                )
            )
        except InvalidRequestError:
            record.rejected()
            raise
        except asyncio.CancelledError:
            record.abandoned()
            raise
        except Exception as error:  # noqa: BLE001 - the promise holds for our own bugs, too
            log.internal_error("router", asked, error)
            return instead(last_tier().answer())

    async def _wait_ready(self, candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        self._registry.hurry()
        return await self._room.wait(candidates, until)

    def _record(self, request: InferenceRequest, request_id: str, started: float, visit: Visit | None) -> RequestRecord:
        quotes = self._policy.log_content
        content = quote(request, log.MAX_TEXT_CHARACTERS) if quotes else ""
        asked = self._chains.asked(request, self._policy)
        return RequestRecord(self._accounting, request_id, asked, started, content, quotes=quotes, visit=visit)


DISCOVERY_DEAD_S = 15.0
"""Seconds after which a router that has not even tried to refresh is replaced; a try takes ten at the most."""

_RETRY_AFTER_S = 1.0
"""The `retry-after` of requests that are turned away: by then most of the requests in flight have been answered."""
