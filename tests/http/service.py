"""A fake of the router for the HTTP surface, maintained like code: it gives the answers it is told to give."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deployments.access.gate import Gate
from deployments.observability import log
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.stream_events import ExtrasDelta, StreamDone, StreamEvent, StreamHead, TextDelta
from deployments.request import InferenceRequest
from deployments.request.acts import Act
from deployments.request.body import Limits
from deployments.request.tokens import TokensRequest
from deployments.storage.keeper import ResponseKeeper

MESSAGE = "I am sorry: none of our models can answer just now."


def an_answer(result: Any = "Hello", **more: Any) -> Answer:
    fields = {"model": "m", "served_by": Tier.PRIMARY, "degraded": False, "attempts": (), **more}
    return Answer(result, **fields)


def last_resort(**more: Any) -> Answer:
    fields = {"model": "last_resort", "served_by": Tier.LAST_RESORT, "degraded": True, "finish_reason": "last_resort"}
    return an_answer(MESSAGE, **(fields | more))


def a_gate() -> Gate:
    """A gate that is not locked, of a router without others."""

    async def exchange(tables: list[Any]) -> list[list[Any]]:
        return [tables]

    return Gate("r1", exchange, log.keys_read)


@dataclass(slots=True)
class ScriptedStream:
    """An answer in pieces, behind what came beside it.

    Attributes:
        pause_s: seconds before each piece, and before the end.
        closed: somebody has closed it.
        read: pieces that were taken.
    """

    pieces: Sequence[str]
    answer: Answer
    pause_s: float = 0.0
    closed: bool = False
    read: int = 0

    @property
    def head(self) -> StreamHead:
        return StreamHead.of(self.answer)

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        if self.answer.extras:
            yield ExtrasDelta(self.answer.extras, self.answer.model, self.answer.served_by)
        for piece in self.pieces:
            await _pause(self.pause_s)
            self.read += 1
            yield TextDelta(piece, self.answer.model, self.answer.served_by)
        await _pause(self.pause_s)
        yield StreamDone(self.answer)

    async def aclose(self) -> None:
        self.closed = True


@dataclass(slots=True)
class ScriptedService:
    """Gives `given` to every request.

    Attributes:
        given: the answer, or the problem that a model has with the request.
        pieces: the same in pieces.
        is_full: it turns requests away.
        status: of the last resort.
        is_failing: it is about to be replaced.
        asked: the requests so far.
        arriving: requests that are being read.
        silence_s: seconds of silence after which a stream gives a sign of life.
        opens_after_s: seconds until the answer, or the first piece of it, is there.
        pause_s: seconds before each piece of a stream.
        origins: those whose pages may ask.
        looked_back: the queries for fallbacks so far.
        acts: what operators have asked for so far.
        keeper: keeps responses.
    """

    given: Answer | Problem = field(default_factory=an_answer)
    pieces: Sequence[str] = ("Hel", "lo")
    is_full: bool = False
    status: int = 200
    is_failing: bool = False
    asked: list[InferenceRequest] = field(default_factory=list)
    streams: list[ScriptedStream] = field(default_factory=list)
    arriving: int = 0
    silence_s: float = 10.0
    opens_after_s: float = 0.0
    pause_s: float = 0.0
    origins: Sequence[str] = ()
    looked_back: list[FallbackQuery] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    keeper: ResponseKeeper = field(default_factory=ResponseKeeper)
    gate: Gate = field(default_factory=a_gate)

    @property
    def limits(self) -> Limits:
        return Limits(max_bytes=10_000, timeout_s=30.0, max_timeout_s=300.0)

    @property
    def last_resort_status(self) -> int:
        return self.status

    @property
    def cors_origins(self) -> Sequence[str]:
        return self.origins

    @property
    def keepalive_s(self) -> float:
        return self.silence_s

    def overloaded(self) -> bool:
        return self.is_full

    def turn_away(self, *, refusal: bool = False) -> Answer:
        return last_resort(retry_after_s=1.0, refusal=refusal)

    def last_resort(self, *, refusal: bool) -> Answer:
        return last_resort(refusal=refusal)

    def gives_vectors(self, model: str) -> bool:
        return model == "embedder"

    @contextmanager
    def arrival(self) -> Iterator[None]:
        self.arriving += 1
        try:
            yield
        finally:
            self.arriving -= 1

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        self.asked.append(request)
        await _pause(self.opens_after_s)
        if isinstance(self.given, Problem):
            raise InvalidRequestError(self.given)
        return self.given

    async def stream(self, request: InferenceRequest, request_id: str, started: float) -> ScriptedStream:
        answer = await self.answer(request, request_id, started)
        self.streams.append(ScriptedStream(self.pieces, answer, self.pause_s))
        return self.streams[-1]

    async def tokenize(self, asked: TokensRequest) -> Answer:
        raise NotImplementedError("a bug of ours")

    def describe_models(self) -> dict[str, Any]:
        model = {"id": "m", "object": "model", "created": 0, "owned_by": "neverblank", "state": "ready"}
        return {"object": "list", "data": [model]}

    async def check_health(self) -> None:
        if self.is_failing:
            raise RuntimeError("models have not been looked for in 20 s")

    async def readiness_of_all(self) -> dict[str, bool]:
        return {"primary": True, "backup": True, "last_resort": True}

    def warnings(self) -> list[str]:
        return []

    async def status_of_all(self) -> dict[str, Any]:
        return {"in_flight": 0}

    async def fallbacks_of_all(self, query: FallbackQuery) -> dict[str, Any]:
        self.looked_back.append(query)
        return {"fallbacks": [], "complete_since": "2026-01-31T12:00:00.000Z", "unheard": {}}

    async def act(self, act: Act) -> dict[str, Any]:
        self.acts.append(act)
        return {"routers": 1, "unheard": {}}

    def require_admin(self) -> None:
        return

    async def run(self) -> None:
        return


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
