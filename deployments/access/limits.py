"""The limits of keys: a request is let in with a reservation, and settled by what it has really used.

How many tokens an answer will have is not known when it is asked for. So a request reserves what it may take at most,
as OpenAI's own limits do: an estimate of its prompt, and the longest answer that it allows (`max_tokens`); never more
than the whole limit, so that a request which could take more is let in alone. What it did not use is given back when it
has ended. Only the answer that the caller got is charged: what attempts beside it wrote was the service's own choice.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any
from weakref import WeakValueDictionary

from deployments.access.claims import BEFORE_ALL, Order
from deployments.access.clock import Clock
from deployments.access.counts import KeyCounts, Table
from deployments.access.grant import Grant
from deployments.access.holder import Holder
from deployments.access.measure import Measure, wait_s
from deployments.access.problems import too_many
from deployments.policy.reason import reason_of

EXCHANGE_S = 1.0
"""Seconds between two exchanges of counts, while there is anything new."""

_AGAIN_S = 0.05
"""Seconds for which an exchange is believed: a key that is at its limit has the routers asked no more often."""

_AFTER_FAILURE_S = 1.0
_LONGEST_EXCHANGE_S = 0.5
_ROUNDING = 1e-9
_PAUSE_S = 0.01
_MOST_ROUNDS = 100
"""Exchanges that a claim may wait for. In each, the first of all claims is kept or given up."""

_MOST_CLAIMS = 16
"""Claims that a router makes for one key at a time. Each is compared with all others; the rest wait in line."""

Exchange = Callable[[list[Table]], Awaitable[Sequence[Sequence[Table]]]]
"""Gives all routers, this one among them, the tables of this one, and returns those of each."""


class Limiter:
    """The limits of all keys, in one router."""

    def __init__(self, counts: KeyCounts, exchange: Exchange, clock: Clock) -> None:
        """Count in `counts`; `exchange` reaches the other routers."""
        self._counts, self._exchange, self._clock = counts, exchange, clock
        self._exchanging: asyncio.Future[bool] | None = None
        self._asked = False
        self._queues: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._spent: set[str] = set()
        self._exchanged_at = self._failed_at = -inf
        self.trouble = ""

    async def admit(self, holder: Holder, costs: Mapping[Measure, float], within_s: float) -> Grant:
        """Let a request in that takes `costs` at most, and count them.

        After `within_s` seconds the other routers are not waited for any more: what is known by then decides.

        Raises:
            InvalidRequestError: a limit of the key is reached (429).
        """
        limits = holder.limits
        wanted = {measure: min(costs.get(measure, 1.0), limit) for measure, limit in limits.items()}
        if self._asked and not self._short(holder, wanted):
            return self._count(holder, wanted)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if grant := await self._agree(holder, wanted):
                    return grant
        if not (short := self._short(holder, wanted)):
            return self._count(holder, wanted)
        now = self._clock()
        waits = {measure: self._wait_s(holder, measure, wanted[measure], now) for measure in short}
        longest = max(short, key=waits.__getitem__)
        self._spent.add(holder.id)
        raise too_many(longest, limits[longest], waits[longest])

    async def _agree(self, holder: Holder, wanted: Mapping[Measure, float]) -> Grant | None:
        """Count a request once the other routers have told what they have counted; `None` where they leave no room."""
        if not self._may_ask(holder, wanted) or not await self._ask():
            return None
        if not self._short(holder, wanted):
            return self._count(holder, wanted)
        queue = self._queues.setdefault(holder.id, asyncio.Semaphore(_MOST_CLAIMS))
        async with queue:
            return await self._claim(holder, wanted) if self._is_left(holder, wanted) else None

    def refuse_spent(self, holder: Holder) -> None:
        """Refuse a request that has not been read yet, if one was refused before and nothing at all is left since.

        Raises:
            InvalidRequestError: a limit is reached (429).
        """
        if holder.id not in self._spent:
            return
        now = self._clock()
        for measure, limit in holder.limits.items():
            if measure is not Measure.CONCURRENT and self._let_in(holder, measure) >= limit:
                raise too_many(measure, limit, self._wait_s(holder, measure, min(1.0, limit), now))
        self._spent.discard(holder.id)

    def left(self, holder: Holder, measure: Measure) -> tuple[float, float]:
        """Return how much of a limit is left, and in how many seconds all of it is again."""
        now, limit = self._clock(), holder.limits[measure]
        cell = self._counts.cell(holder.id, measure, now)
        before, current = cell.own_before + cell.others_before, cell.own + cell.others
        full_s = wait_s(measure, before, current, 0.0, now) if before + current > 0 else 0.0
        return max(0.0, limit - cell.used(now)), full_s

    def hear(self, tables: Sequence[Table]) -> list[Table]:
        """Take over the tables of another router, and return those of this one."""
        now = self._clock()
        self._counts.hear(tables, now)
        return self._counts.tables(now)

    async def exchange_forever(self) -> None:
        """Exchange counts with the other routers for ever, whenever there is anything new."""
        while True:
            await asyncio.sleep(EXCHANGE_S)
            if self._counts.has_news:
                await self._ask()

    def describe(self, holder: Holder) -> dict[str, Any]:
        """Return the limits of a key, and how much of each is used, for `/status`."""
        now = self._clock()
        return {
            measure.value: {
                "limit": limit,
                "used": round(self._counts.cell(holder.id, measure, now).used(now), 6),
            }
            for measure, limit in holder.limits.items()
        }

    def _count(self, holder: Holder, wanted: Mapping[Measure, float]) -> Grant:
        return Grant(self._counts, self._clock, holder.id, wanted)

    async def _claim(self, holder: Holder, wanted: Mapping[Measure, float]) -> Grant | None:
        """Count a request that takes more than a share of what is left; see `claims`.

        `None` where there is no room for it beside what was let in, or the others cannot be told.
        """
        grant = self._count(holder, wanted)
        order = self._counts.claim(holder.id, grant.reserved)
        nothing, is_kept = dict.fromkeys(wanted, 0.0), False
        try:
            for _ in range(_MOST_ROUNDS):
                if not await self._ask(afresh=True):
                    break
                if is_kept := self._is_left(holder, nothing, order):
                    break
                if not self._is_left(holder, wanted):
                    break
                await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - spreads questions, keeps no secret
        finally:
            self._counts.end_claim(order)
            if not is_kept:
                grant.withdraw()
        return grant if is_kept else None

    def _short(self, holder: Holder, wanted: Mapping[Measure, float]) -> list[Measure]:
        """Return the measures of which this router has no share left for the request."""
        now, counts, short = self._clock(), self._counts, []
        for measure, cost in wanted.items():
            if cost > counts.share(counts.cell(holder.id, measure, now), holder.limits[measure], now) + _ROUNDING:
                short.append(measure)
        return short

    def _is_left(self, holder: Holder, wanted: Mapping[Measure, float], after: Order = BEFORE_ALL) -> bool:
        """Return whether there is room in all routers together, as far as is known, if claims `after` one are none."""
        return all(
            cost <= holder.limits[measure] - self._let_in(holder, measure, after) + _ROUNDING
            for measure, cost in wanted.items()
        )

    def _let_in(self, holder: Holder, measure: Measure, after: Order = BEFORE_ALL) -> float:
        """Return how much is used, without the claims `after` one."""
        now, counts = self._clock(), self._counts
        return counts.cell(holder.id, measure, now).used(now) - counts.claimed(holder.id, measure, now, after)

    def _may_ask(self, holder: Holder, wanted: Mapping[Measure, float]) -> bool:
        """Return whether the other routers are to be asked before the request is refused.

        They are where something is left as far as is known. Where nothing is, they may have given something back since.
        """
        now = self._clock()
        if now - self._failed_at < _AFTER_FAILURE_S:
            return False
        return self._is_left(holder, wanted) or now - self._exchanged_at >= _AGAIN_S

    async def _ask(self, *, afresh: bool = False) -> bool:
        """Exchange counts with the other routers; return whether that was possible.

        Whoever comes meanwhile joins, unless it has to be `afresh`: what was counted just now has to be told.
        """
        if afresh and self._exchanging is not None:
            await asyncio.shield(self._exchanging)
        if self._exchanging is None:
            self._exchanging = asyncio.ensure_future(self._exchange_once())
            self._exchanging.add_done_callback(self._exchanged)
        return await asyncio.shield(self._exchanging)

    def _exchanged(self, _: "asyncio.Future[bool]") -> None:
        self._exchanging = None

    async def _exchange_once(self) -> bool:
        told, tables = self._counts.sharing(), self._counts.tables(self._clock())
        self._asked = True
        try:
            async with asyncio.timeout(_LONGEST_EXCHANGE_S):
                answers = await self._exchange(tables)
        except Exception as error:  # noqa: BLE001 - whatever Serve raises: each router keeps to its share meanwhile
            self._failed_at = self._clock()
            self.trouble = reason_of(error)
            return False
        self._exchanged_at = self._clock()
        self.trouble = ""
        self._counts.merge(table for theirs in answers for table in theirs)
        self._counts.shared(told, (theirs[0]["router"] for theirs in answers if theirs), self._exchanged_at)
        return True

    def _wait_s(self, holder: Holder, measure: Measure, cost: float, now: float) -> float:
        cell = self._counts.cell(holder.id, measure, now)
        before, current = cell.own_before + cell.others_before, cell.own + cell.others
        return wait_s(measure, before, current, holder.limits[measure] - cost, now)
