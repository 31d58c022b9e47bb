"""Limits hold for all routers together, whoever asks which of them, and are refused no sooner than they are reached."""

import asyncio
import copy
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.access.counts import KeyCounts, Table
from deployments.access.grant import Grant
from deployments.access.holder import Holder
from deployments.access.limits import Limiter
from deployments.access.measure import Measure
from deployments.access.rights import Rights
from deployments.policy.problem import InvalidRequestError
from tests.fakes import run_virtually

NOON = 1_780_000_000 - 1_780_000_000 % 86_400 + 43_200.0


class Routers:
    """Several routers that reach each other, unless one is `cut` off."""

    def __init__(self, count: int) -> None:
        self.now = NOON
        self.exchanges = 0
        self.cut = False
        self.takes_s, self.within_s = 0.0, 60.0
        self.delays = random.Random(0)  # noqa: S311 - a seed, no secret
        self.delayed_s = 0.0
        self.limiters = [Limiter(KeyCounts(f"r{n}"), self.exchange, lambda: self.now) for n in range(count)]

    async def exchange(self, tables: list[Table]) -> Sequence[list[Table]]:
        self.exchanges += 1
        if self.cut:
            raise ConnectionError("nobody answers")
        await asyncio.sleep(self.takes_s)
        return await asyncio.gather(*(self._heard_by(each, tables) for each in self.limiters))

    async def _heard_by(self, limiter: Limiter, tables: list[Table]) -> list[Table]:
        if not self.delayed_s:
            return limiter.hear(tables)
        await asyncio.sleep(self.delays.uniform(0, self.delayed_s))
        answer = limiter.hear(copy.deepcopy(tables))
        await asyncio.sleep(self.delays.uniform(0, self.delayed_s))
        return answer

    async def admitted(self, router: int, holder: Holder, **costs: float) -> Any:
        counted = {Measure(name): cost for name, cost in costs.items()}
        try:
            return await self.limiters[router].admit(holder, counted, self.within_s)
        except InvalidRequestError as error:
            return error.problem


def a_holder(**limits: float) -> Holder:
    return Holder("a", "id", Rights(1), {Measure(name): limit for name, limit in limits.items()})


def is_in(result: Any) -> bool:
    return not hasattr(result, "status")


@settings(deadline=None, max_examples=60)
@given(
    asked=st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=80))),
    limit=st.integers(1, 50),
    at_once=st.booleans(),
)
def test_a_limit_is_used_up_by_all_routers_together_and_never_exceeded(
    asked: tuple[int, list[int]], limit: int, *, at_once: bool
) -> None:
    count, order = asked

    async def scenario() -> int:
        routers, holder = Routers(count), a_holder(requests_per_minute=limit)
        if at_once:
            results = await asyncio.gather(*(routers.admitted(router, holder) for router in order))
        else:
            results = [await routers.admitted(router, holder) for router in order]
        return sum(map(is_in, results))

    admitted = run_virtually(scenario())

    assert admitted == min(limit, len(order))


@settings(deadline=None, max_examples=80)
@given(
    count=st.integers(2, 4),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(0, 30)), max_size=40),
    seed=st.integers(0, 1000),
)
@example(count=3, asked=[(router, 40, 0) for router in (0, 1, 2, 0, 1, 2)], seed=0)
def test_of_requests_that_come_to_several_routers_at_once_none_is_refused_that_there_is_room_for(
    count: int, asked: list[tuple[int, int, int]], seed: int
) -> None:
    async def scenario() -> list[tuple[int, bool]]:
        routers, holder = Routers(count), a_holder(tokens_per_minute=100, requests_per_minute=1000)
        routers.delays, routers.delayed_s = random.Random(seed), 0.01  # noqa: S311 - a seed, no secret

        async def ask(router: int, tokens: int, after_ms: int) -> tuple[int, bool]:
            await asyncio.sleep(after_ms / 1000)
            return tokens, is_in(await routers.admitted(router % count, holder, tokens_per_minute=tokens))

        return await asyncio.gather(*(ask(*each) for each in asked))

    results = run_virtually(scenario())

    left = 100 - sum(tokens for tokens, admitted in results if admitted)
    assert left >= 0
    assert all(tokens > left for tokens, admitted in results if not admitted)


async def test_a_claim_of_a_router_that_has_gone_keeps_nobody_waiting() -> None:
    routers, holder = Routers(3), a_holder(tokens_per_minute=100)
    await routers.admitted(0, holder, tokens_per_minute=1)
    gone = routers.limiters[2]._counts
    gone.claim(holder.id, Grant(gone, lambda: NOON, holder.id, {Measure.TOKENS: 60}).reserved)
    routers.limiters[1].hear(gone.tables(NOON))
    routers.limiters.pop()

    assert not is_in(await routers.admitted(0, holder, tokens_per_minute=50))
    assert is_in(await routers.admitted(1, holder, tokens_per_minute=39))
    assert routers.exchanges < 8


async def test_a_minute_slides_and_the_refusal_says_when_to_come_back() -> None:
    routers, holder = Routers(2), a_holder(requests_per_minute=10)
    assert all([is_in(await routers.admitted(n % 2, holder)) for n in range(10)])

    refused = await routers.admitted(0, holder)

    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    wait_s = int(refused.headers["retry-after"])
    routers.now += wait_s - 1
    assert not is_in(await routers.admitted(1, holder))
    routers.now += 1
    assert is_in(await routers.admitted(1, holder))


async def test_what_a_request_did_not_use_of_its_tokens_is_there_again_when_it_has_ended() -> None:
    routers, holder = Routers(2), a_holder(tokens_per_minute=1000)
    first = await routers.admitted(0, holder, tokens_per_minute=900)
    assert not is_in(await routers.admitted(1, holder, tokens_per_minute=900))

    first.settle(100, 0.0)
    routers.now += 0.1

    assert is_in(await routers.admitted(1, holder, tokens_per_minute=900))


async def test_a_request_that_could_take_more_than_the_whole_limit_is_let_in_alone() -> None:
    routers, holder = Routers(1), a_holder(tokens_per_minute=1000)

    assert is_in(await routers.admitted(0, holder, tokens_per_minute=50_000))
    assert not is_in(await routers.admitted(0, holder, tokens_per_minute=1))


async def test_what_is_under_way_counts_in_all_routers_and_no_longer_when_it_has_ended() -> None:
    routers, holder = Routers(2), a_holder(concurrent_requests=3)
    grants = [await routers.admitted(n % 2, holder) for n in range(3)]
    assert all(map(is_in, grants))
    assert not is_in(await routers.admitted(0, holder))

    grants[1].settle(0, 0)
    grants[1].settle(0, 0)
    routers.now += 0.1

    assert is_in(await routers.admitted(0, holder))
    assert not is_in(await routers.admitted(1, holder))


async def test_a_budget_of_a_day_is_not_to_be_asked_for_again_before_the_next_day() -> None:
    routers, holder = Routers(2), a_holder(money_per_day=0.5)
    grant = await routers.admitted(0, holder, money_per_day=0.2)
    grant.settle(0, 0.6)
    routers.now += 1

    refused = await routers.admitted(1, holder, money_per_day=0.2)

    assert (refused.status, refused.code, refused.headers["x-should-retry"]) == (429, "insufficient_quota", "false")
    assert int(refused.headers["retry-after"]) == 43_200 - 1
    routers.now += 43_200
    assert is_in(await routers.admitted(1, holder, money_per_day=0.2))


async def test_what_a_router_has_counted_is_known_after_it_has_gone_also_to_a_new_one() -> None:
    routers, holder = Routers(2), a_holder(requests_per_minute=10, concurrent_requests=100)
    for _ in range(8):
        await routers.admitted(0, holder)
    await routers.limiters[0]._ask()
    routers.limiters = [routers.limiters[1], Limiter(KeyCounts("new"), routers.exchange, lambda: routers.now)]

    admitted = [is_in(await routers.admitted(1, holder)) for _ in range(5)]

    assert admitted == [True, True, False, False, False]
    assert routers.limiters[1].describe(holder)["concurrent_requests"]["used"] == 2


async def test_a_router_that_reaches_nobody_goes_on_with_its_share() -> None:
    routers, holder = Routers(2), a_holder(requests_per_minute=10)
    assert is_in(await routers.admitted(0, holder))
    assert is_in(await routers.admitted(1, holder))
    routers.cut = True

    admitted = [[is_in(await routers.admitted(router, holder)) for _ in range(10)] for router in (0, 1)]

    assert 7 <= sum(map(sum, admitted)) <= 8
    assert all(map(any, admitted))
    assert "nobody answers" in routers.limiters[0].trouble


async def test_a_key_at_its_limit_does_not_have_the_routers_asked_for_each_of_its_requests() -> None:
    routers, holder = Routers(2), a_holder(requests_per_minute=4)
    for _ in range(200):
        await routers.admitted(0, holder)

    assert routers.exchanges < 12


@pytest.mark.looptime
async def test_counts_are_exchanged_while_there_is_anything_new() -> None:
    routers, holder = Routers(2), a_holder(requests_per_minute=10, concurrent_requests=10)
    tasks = [asyncio.ensure_future(each.exchange_forever()) for each in routers.limiters]
    grant = await routers.admitted(0, holder)
    await routers.limiters[1]._ask()
    grant.settle(0, 0)
    await asyncio.sleep(1.1)

    used = {name: facts["used"] for name, facts in routers.limiters[1].describe(holder).items()}
    assert used == {"requests_per_minute": 1, "concurrent_requests": 0}
    told = routers.exchanges
    await asyncio.sleep(10)
    assert routers.exchanges == told
    for task in tasks:
        task.cancel()


def test_a_request_waits_for_slow_routers_no_longer_than_it_may_and_what_is_known_by_then_decides() -> None:
    async def scenario() -> tuple[list[bool], float]:
        routers, holder = Routers(2), a_holder(requests_per_minute=2)
        await routers.admitted(0, holder)
        await routers.admitted(1, holder)
        routers.now += 1.0
        routers.takes_s, routers.within_s = 0.4, 0.1
        results = await asyncio.gather(*(routers.admitted(router, holder) for router in (0, 1)))
        return [is_in(result) for result in results], asyncio.get_running_loop().time()

    assert run_virtually(scenario()) == ([False, False], 0.1)
