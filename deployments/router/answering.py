"""Answers requests: each runs its chain, is recorded, and comes to one of its ends.

answer, stream ──► the cache ──► ChainBuilder ──► execution ──► replicas and upstreams
└─ an error in here: the last-resort message
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from deployments.access.gate import Gate
from deployments.access.holder import HOLDER
from deployments.execution.clock import loop_time
from deployments.execution.execution import Execution
from deployments.execution.streams import CompletedStream, open_stream
from deployments.execution.whole import run_chain
from deployments.observability import log
from deployments.observability.logger import MAX_TEXT_CHARACTERS
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.breaker import tell_nobody
from deployments.policy.problem import InvalidRequestError
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import AnswerStream
from deployments.request import InferenceRequest
from deployments.request.hops import refuse_loops
from deployments.request.turns import quote
from deployments.router.accounting import RecordedStream, RequestAccounting, RequestRecord
from deployments.router.answer_cache import AnswerCache
from deployments.router.canary import Canary
from deployments.router.drills import copied
from deployments.router.executions import Executions
from deployments.router.interventions import Hands
from deployments.router.registry import Registry
from deployments.router.request_trace import begin_trace
from deployments.router.routing import ChainBuilder
from deployments.router.visit import Visit, begin_visit, traced
from deployments.router.waiting_room import WaitingRoom
from deployments.settings import PolicySettings

_Given = TypeVar("_Given", Answer, AnswerStream)


class Answering:
    """The requests of one router.

    Attributes:
        accounting: their counts.
        canary: exercises the backup beside them.
        hands: what an operator does with them.
    """

    def __init__(
        self,
        service_id: Callable[[], str],
        registry: Registry,
        chains: ChainBuilder,
        resilience: ResilienceState,
        backup_name: str,
        policy: Callable[[], PolicySettings],
        gate: Gate,
    ) -> None:
        """Answer by the models of `chains`, as the `policy` in force says, and to whom `gate` lets in.

        `service_id` names the service to others.
        """
        self._gate = gate
        self._service_id = service_id
        self._registry = registry
        self._chains = chains
        self._resilience = resilience
        self._backup_name = backup_name
        self._policy = policy
        self.canary = Canary(self._ask_backup, lambda: policy().canary)
        self.accounting = RequestAccounting(self._answered_by, chains.knows)
        self._cache = AnswerCache(lambda: policy().cache)
        self._room = WaitingRoom(registry.readiness_of, lambda: policy().admission.max_waiting)
        self.hands = Hands()
        self._executions = Executions(registry, chains, self._room, self.hands)

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer a well-formed request. An error of our own is logged and answered with the last resort.

        Args:
            request: the request.
            request_id: for the log.
            started: when the request arrived, on the event loop's clock.

        Raises:
            InvalidRequestError: the model asked for calls the request invalid, and the policy does not rescue that; or
                its key does not allow it (403), or has reached a limit (429).
            asyncio.CancelledError: the caller has gone away.
        """
        key, record = await self._begin(request, request_id, started)
        run = partial(self._execute, request, record, started, run_chain, lambda last_resort: last_resort)
        with record:
            if key:
                answer, record.shared = await self._cache.share(key, request, started, run)
            else:
                answer = await run()
            if answer.served_by is Tier.LAST_RESORT:
                answer = await self._cache.instead(key, answer, started + request.timeout_s)
        record.answered(answer := traced(answer, record.visit))
        return answer

    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> AnswerStream:
        """Return a stream that answers, once its first content is there. For the rest see `answer`."""
        key, record = await self._begin(request, request_id, started)
        with record:
            opening = partial(open_stream, rules=self._policy().streams)
            stream: AnswerStream = await self._execute(request, record, started, opening, CompletedStream)
            if key and isinstance(stream, CompletedStream) and stream.answer.served_by is Tier.LAST_RESORT:
                earlier = await self._cache.instead(key, stream.answer, started + request.timeout_s)
                stream = CompletedStream(earlier) if isinstance(earlier.result, str) else stream
            return RecordedStream(stream, record)

    async def _begin(self, request: InferenceRequest, request_id: str, started: float) -> tuple[str, RequestRecord]:
        """Let a request in, have the canary ask the backup beside it, if its key allows that, and begin its record.

        Returns:
            The request's key in the cache, which is empty where it has none, and its record.
        """
        refuse_loops(request.via, self._service_id())
        if request.faults:
            self._gate.require_admin()
        visit = None
        if (holder := HOLDER.get()) is not None:
            visit = await begin_visit(
                holder, self._gate, self._chains, request, self._policy(), started, self.accounting
            )
        try:
            if visit is None or visit.allows_backup:
                self.canary.offer(request)
            return self._record(request, request_id, started, visit)
        except BaseException:  # an error of ours: else what was granted to its key would be taken for ever
            if visit is not None:
                visit.withdraw()
            raise

    async def _execute(
        self,
        request: InferenceRequest,
        record: RequestRecord,
        started: float,
        run: Callable[[Execution], Awaitable[_Given]],
        instead: Callable[[Answer], _Given],
    ) -> _Given:
        """Return what `run` gives; where an error of ours ends it, `instead` of the last resort."""
        asked, policy = record.asked, self._policy()
        try:
            resilience = copied(self._resilience) if request.faults else self._resilience
            resilience.begin(loop_time())
            chain = self._chains.chain(request, policy, started)
            if request.wait and not self._registry.has_looked and not self._chains.begins_remotely(chain):
                await self._registry.first_look(chain.deadline.cut_over)
            self._chains.spaces.require_vectors_whole(request, asked)
            execution = self._executions.of(chain, request, asked, policy, resilience)
            return await run(record.traced(execution))
        except InvalidRequestError:
            raise
        except Exception as error:  # noqa: BLE001 - the promise holds for our own bugs, too
            log.internal_error("router", asked, error)
            return instead(self._executions.last_tier(request, asked, policy)().answer())

    async def _ask_backup(self, request: InferenceRequest) -> Answer:
        """Return what the local backup, and nobody else, answers; it is not counted as an answer to a caller.

        What it takes is forgotten. Of its short answers a router would learn that the backup is quick, and would keep
        too little of each deadline for it.
        """
        alone = replace(request, model=self._backup_name, tiers=frozenset({Tier.BACKUP}), fallback=False, hedge=False)
        policy = self._policy()
        forgotten = ResilienceState(policy.to_resilience(), tell_nobody, self._backup_name)
        chain = self._chains.chain(alone, policy, loop_time())
        return await run_chain(self._executions.of(chain, alone, self._backup_name, policy, forgotten))

    def _answered_by(self, answer: Answer) -> None:
        """Tell the canary of an answer of the local backup; a remote one says nothing about that."""
        if answer.served_by is Tier.BACKUP and answer.model == self._backup_name:
            self.canary.answered()

    def _record(
        self, request: InferenceRequest, request_id: str, started: float, visit: Visit | None
    ) -> tuple[str, RequestRecord]:
        """Return the request's key in the cache, which is empty where it has none, and its record."""
        policy = self._policy()
        quotes = policy.log_content
        asked = self._chains.asked(request, policy)
        key = self._cache.key_of(request, asked)
        if key and self._chains.spaces.asks_for_vectors(request, asked):  # the model of that name may be another by now
            key = ""
        trace = begin_trace(policy.traces, request, request_id, asked, started, self._chains.knows)
        record = RequestRecord(  # last: it counts the request as in flight
            self.accounting,
            request_id,
            asked,
            started,
            quote(request, MAX_TEXT_CHARACTERS) if quotes else "",
            quotes=quotes,
            drill=bool(request.faults),
            keep=partial(self._cache.keep, key) if key else None,
        )
        record.deadline_s, record.trace, record.visit = request.timeout_s, trace, visit
        return key, record

    def describe(self) -> dict[str, Any]:
        """Return what is waiting and what has been answered, for `/status`."""
        return {
            "interventions": self.hands.describe(),
            "canary": self.canary.describe(),
            "cache": self._cache.describe(),
            "waiting": self._room.size,
            **self.accounting.describe(),
        }

    async def aclose(self) -> None:
        """Close the connections of the cache."""
        await self._cache.aclose()
