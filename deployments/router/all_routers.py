"""What one router tells of all routers: it asks each of them. Where one does not answer, that is told, too.

A router answers such a question out of its memory, within a moment. Whoever asks while the routers are being asked the
same gets the same answer: callers cannot make the routers do nothing but ask each other.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from deployments.observability import log
from deployments.observability.fallback_log import FallbackLog, FallbackQuery, merge_fallbacks
from deployments.policy.attempt import Tier
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.reason import reason_of
from deployments.ray_serve.routers import Heard
from deployments.request.acts import Act
from deployments.router.interventions import Hands
from deployments.router.registry import ClusterView
from deployments.router.service_status import status_of_service

OWN_STATUS, OWN_FALLBACKS, OWN_ACT, OWN_INTERVENTIONS = "own_status", "own_fallbacks", "own_act", "own_interventions"
"""The methods of a router that the others call: see `handle_methods`."""

_READINESS = "ready"

FOLLOW_EVERY_S = 20.0
"""Seconds after which a router asks the others again what an operator has done."""

_AT_A_TIME = 4
"""Questions of callers that one router asks all of them at a time. What an operator does waits for none of them."""

MOST_WAITING = 64
"""Different questions that wait for that; a further one is refused."""


_TOO_MANY = 429


class AllRouters:
    """All routers of the service, as one of them sees them."""

    def __init__(
        self,
        cluster: ClusterView,
        describe: Callable[[], Mapping[str, Any]],
        readiness: Callable[[], Mapping[str, bool]],
        fallbacks: FallbackLog,
    ) -> None:
        """Speak for the router that the last three tell of."""
        self._cluster = cluster
        self._describe = describe
        self._readiness = readiness
        self._own_fallbacks = fallbacks
        self._asking: dict[Any, asyncio.Task[dict[str, Any]]] = {}
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def readiness(self) -> dict[str, bool]:
        """Return for each tier whether it is ready in every router; where a router does not say, no model tier is."""
        return await self._shared(_READINESS, self._tiers)  # it needs no key, and is never one of too many

    async def _tiers(self) -> dict[str, Any]:
        try:
            answers = await self._cluster.routers_readiness()
        except Exception as error:  # noqa: BLE001 - any error of Serve: a router that does not answer is not ready
            log.routers_not_asked(reason_of(error))
            answers = ()
        return {
            tier: tier == Tier.LAST_RESORT or (bool(answers) and all(answer.get(tier, False) for answer in answers))
            for tier in self._readiness()
        }

    async def status(self) -> dict[str, Any]:
        """Return the body of `GET /status`."""
        return await self._once(OWN_STATUS, self._status)

    async def fallbacks(self, query: FallbackQuery) -> dict[str, Any]:
        """Return the body of `GET /v1/fallbacks`."""
        return await self._once(query, lambda: self._fallbacks(query))

    async def act(self, act: Act, at: float) -> dict[str, Any]:
        """Have all routers do what an operator asks for; return in how many it is done, and which were not heard."""
        heard, reason = await self._hear(OWN_ACT, act.kind.value, act.model, act.share, at)
        names = {self._cluster.own_replica, *heard.answers}
        return {"routers": len(names), "unheard": self._unheard(names, heard, reason)}

    async def follow(self, hands: Hands) -> None:
        """Hear from the others what an operator has done, until this is cancelled: this router may have missed it."""
        while True:
            await self.learn(hands)
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def learn(self, hands: Hands) -> None:
        """Hear from the others once what an operator has done."""
        heard, _ = await self._hear(OWN_INTERVENTIONS)
        for told in heard.answers:
            hands.adopt(told)

    async def _status(self) -> dict[str, Any]:
        heard, reason = await self._ask(OWN_STATUS)
        own = self._describe()
        names = {own["replica"], *(told["replica"] for told in heard.answers)}
        return status_of_service(own, heard.answers, self._unheard(names, heard, reason))

    async def _fallbacks(self, query: FallbackQuery) -> dict[str, Any]:
        heard, reason = await self._ask(OWN_FALLBACKS, query.since, query.model, query.limit)
        own = {"replica": self._cluster.own_replica, **self._own_fallbacks.find(query)}
        told = {each["replica"]: each for each in (*heard.answers, own)}
        return {**merge_fallbacks(list(told.values()), query), "unheard": self._unheard(set(told), heard, reason)}

    def _unheard(self, names: set[str], heard: Heard, reason: str) -> dict[str, str]:
        """Return the routers that run beside those with `names`, and why they were not heard."""
        why = reason or "; ".join(sorted(set(heard.reasons))) or "it could not be asked"
        return dict.fromkeys(sorted(self._cluster.running_routers - names), why)

    async def _ask(self, question: str, *arguments: Any) -> tuple[Heard, str]:
        """Return the same as `_hear`, when it is this question's turn."""
        async with self._turns:
            return await self._hear(question, *arguments)

    async def _hear(self, question: str, *arguments: Any) -> tuple[Heard, str]:
        """Return what the routers answer, and why they could not be asked at all; empty where they could."""
        try:
            return await self._cluster.ask_routers(question, *arguments), ""
        except Exception as error:  # noqa: BLE001 - any error of Serve: what this router knows is told all the same
            log.routers_not_asked(reason_of(error))
            return Heard(), reason_of(error)

    async def _once(self, key: Any, ask: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        """Return what `_shared` gives.

        Raises:
            InvalidRequestError: too many other questions wait (429).
        """
        if key not in self._asking and len(self._asking) >= MOST_WAITING:
            message, accepted = "is one of too many at a time", "the same a moment later"
            raise InvalidRequestError(Problem("query", message, accepted, _TOO_MANY))
        return await self._shared(key, ask)

    async def _shared(self, key: Any, ask: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        """Return what `ask` gives; whoever comes while it is under way for the same `key` waits for the same."""
        if key not in self._asking:
            asking = asyncio.create_task(ask())
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])
