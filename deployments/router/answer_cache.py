"""The cache: an exact earlier answer, given before the last resort, and one answer for identical requests in flight.

    whole request   ──► identical to one in flight ──► its answer, or run as any other
    last resort     ──► found: the earlier answer, `served_by: cache`, `degraded: true`

Off by default. Only a complete answer of the model that was asked for is kept. What has tools, wants vectors or several
choices, is a drill, or whose caller says no (`x-neverblank-cache: false`) is neither kept nor answered from here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import orjson
from msgspec import Struct, json
from msgspec.structs import asdict

from deployments.access.holder import HOLDER
from deployments.execution.clock import loop_time
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.outcome import Usage
from deployments.request import InferenceRequest
from deployments.router.answer_stores import AnswerStores
from deployments.settings.cache import CacheSettings

MAX_ANSWER_BYTES = 1 << 20
"""The largest answer that is kept."""

FOLLOWS = 0.5
"""The share of its deadline for which a request waits for the answer of an identical one; then it is run itself."""


class KeptAnswer(Struct, frozen=True):
    """What is kept of an answer."""

    result: Any
    model: str
    usage: Usage | None


class AnswerCache:
    """The cache of one router."""

    def __init__(self, settings: Callable[[], CacheSettings]) -> None:
        """Keep answers as the `settings` in force say."""
        self._settings = settings
        self._stores = AnswerStores()
        self._in_flight: dict[tuple[Any, ...], asyncio.Future[Answer]] = {}

    def key_of(self, request: InferenceRequest, asked: str) -> str:
        """Return what identical requests have in common; empty for one that the cache has no part in."""
        if not self._settings().seconds or not _is_cached(request):
            return ""
        holder = HOLDER.get()  # what a key may not reach, another one's answer may come from
        whose = () if holder is None else (holder.id, holder.rights.text)
        parts = (
            whose,
            asked,
            request.inputs,
            request.text,
            request.messages,
            request.turns,
            asdict(request.parameters),
        )
        form = (request.response_format.constraint, request.prefix, request.prefix_turn, request.raw)
        reach = (
            sorted(request.tiers),
            request.fallback,
            request.strict,
        )  # who may answer: nobody else's answer will do
        others = (reach, request.passthrough, request.prompt_tokens, request.user, request.max_tokens_default)
        in_its_words = asdict(request.sent)
        try:
            packed = orjson.dumps(
                (parts, form, others, in_its_words), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
            )
        except orjson.JSONEncodeError:  # nothing that can be compared, so nothing is identical to it
            return ""
        return sha256(packed).hexdigest()

    async def share(
        self, key: str, request: InferenceRequest, started: float, run: Callable[[], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """Return the answer of an identical request in flight and true, or what `run` gives and false; it may raise.

        How long a caller waits, and what is tried for it meanwhile, decides who answers: it has to be the same, too.
        """
        if not self._settings().share:
            return await run(), False
        alike = (key, request.timeout_s, request.hedge, request.retry, request.wait)
        if (leader := self._in_flight.get(alike)) is not None:
            left_s = started + request.timeout_s * FOLLOWS - loop_time()
            await asyncio.wait({leader}, timeout=max(0.0, left_s))
            if leader.done() and not leader.cancelled():
                return leader.result(), True
            return await run(), False
        own: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._in_flight[alike] = own
        try:
            answer = await run()
            if answer.served_by is not Tier.LAST_RESORT:
                own.set_result(answer)
            return answer, False
        finally:
            own.cancel()  # where there is no answer, each of the others finds out for itself
            del self._in_flight[alike]

    async def instead(self, key: str, last_resort: Answer, due: float) -> Answer:
        """Return the earlier answer that is given in the place of `last_resort`, or that where there is none.

        The store has half of the time that is left until `due`; the other half is for sending the answer. Any error is
        logged, and costs nobody the last resort.
        """
        try:
            async with asyncio.timeout((due - loop_time()) / 2):
                kept = await self._stores.of(self._settings()).get(key) if key else b""
            return _again(json.decode(kept, type=KeptAnswer), last_resort) if kept else last_resort
        except TimeoutError:
            return last_resort
        except Exception as error:  # noqa: BLE001 - such as what somebody else has written into the Redis
            log.internal_error("cache", "", error)
            return last_resort

    def keep(self, key: str, answer: Answer) -> None:
        """Keep `answer`, if it is a complete one of the model that was asked for."""
        complete = answer.finish_reason == "stop" and not (answer.tool_calls or answer.refusal or answer.unavailable)
        if not key or answer.degraded or not complete:
            return
        kept = json.encode(KeptAnswer(answer.result, answer.model, answer.usage))
        if len(kept) <= MAX_ANSWER_BYTES:
            settings = self._settings()
            self._stores.of(settings).put(key, kept, settings.seconds)

    def describe(self) -> dict[str, Any]:
        """Return whether the cache is on, and what its store says of itself, for `/status`."""
        settings = self._settings()
        return {"on": bool(settings.seconds), **(self._stores.of(settings).describe() if settings.seconds else {})}

    async def aclose(self) -> None:
        """Close the connections of the store."""
        await self._stores.aclose()


def _again(kept: KeptAnswer, last_resort: Answer) -> Answer:
    return Answer(
        result=kept.result,
        model=kept.model,
        served_by=Tier.CACHE,
        degraded=True,
        attempts=last_resort.attempts,
        usage=kept.usage,
    )


def _is_cached(request: InferenceRequest) -> bool:
    """Return whether the answer to `request` may be kept, and given again."""
    wants_more = (
        request.vectors or request.response_format.tools or request.choices != 1 or request.logprobs is not None
    )
    return request.cache and not (wants_more or request.faults)
