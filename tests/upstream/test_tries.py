"""A silent endpoint is followed by another one in the same attempt, and costs nobody an answer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.execution.pulse import sign_of_life
from deployments.policy.outcome import Answered, Outcome
from deployments.policy.terms import ANY_TERMS, Terms
from deployments.upstream.endpoints import Endpoints, Try
from tests.upstream.test_endpoints import BROKEN, POLICY, endpoints

pytestmark = pytest.mark.looptime

STREAM = Terms(streamed=True)


class Hangs:
    """Endpoints that take a tenth of a second, and those in `silent` for ever; notes who was asked and cancelled."""

    def __init__(self, *silent: int) -> None:
        self.silent = set(silent)
        self.asked: list[int] = []
        self.cancelled: list[int] = []
        self.work: Callable[[], None] = lambda: None

    async def __call__(self, tried: Try) -> Outcome:
        place = tried.endpoint.place
        self.asked.append(place)
        try:
            await asyncio.sleep(0.1)
            while place in self.silent:
                await asyncio.sleep(0.1)
                self.work()
        except asyncio.CancelledError:
            self.cancelled.append(place)
            raise
        return Answered("fine")


async def known(several: Endpoints, hangs: Hangs, terms: Terms = STREAM) -> None:
    """Have the endpoints answer often enough to be known: each takes a tenth of a second."""
    silent, hangs.silent = hangs.silent, set()
    for _ in range(30):
        await several.ask(hangs, "", terms)
    hangs.silent = silent
    hangs.asked.clear()


def clock() -> float:
    return asyncio.get_running_loop().time()


def breakers(several: Endpoints) -> list[str]:
    return [endpoint.to_json()["breaker"] for endpoint in several.all]


async def test_a_silent_endpoint_is_followed_by_another_one_within_the_same_request() -> None:
    several, hangs = endpoints(1, 1), Hangs(0)
    await known(several, hangs)

    while 0 not in hangs.asked:
        asked = clock()
        assert await several.ask(hangs, "", STREAM, 30.0) == Answered("fine")

    assert clock() - asked == pytest.approx(0.35)  # half of the shortest silence that counts, and the other's time
    await asyncio.sleep(0)
    assert hangs.cancelled == [0]


async def test_an_endpoint_that_others_overtake_again_and_again_is_not_asked_any_more() -> None:
    several, hangs = endpoints(1, 1), Hangs(0)
    await known(several, hangs)

    for _ in range(60):
        assert await several.ask(hangs, "", STREAM, 30.0) == Answered("fine")

    assert hangs.asked.count(0) == POLICY.breaker.failures
    assert breakers(several) == ["open", "closed"]


@pytest.mark.parametrize("left_s", [6.0, 30.0])
async def test_of_endpoints_that_are_not_known_a_third_of_the_time_left_is_waited_for(left_s: float) -> None:
    several, hangs = endpoints(1, 1), Hangs(0)

    while 0 not in hangs.asked:
        asked = clock()
        assert await several.ask(hangs, "", ANY_TERMS, left_s) == Answered("fine")

    assert clock() - asked == pytest.approx(left_s / 3 + 0.1)
    assert breakers(several) == ["closed", "closed"]


async def test_an_endpoint_that_shows_that_it_is_at_work_is_not_silent() -> None:
    several, hangs = endpoints(1, 1), Hangs(0, 1)
    await known(several, hangs)
    hangs.work = sign_of_life

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20.0):
            await several.ask(hangs, "", STREAM, 30.0)

    assert len(hangs.asked) == len(hangs.cancelled) == 1
    assert breakers(several) == ["closed", "closed"]


async def test_an_attempt_that_is_given_up_has_cancelled_all_whom_it_asked_and_their_silence_counts() -> None:
    several, hangs = endpoints(1, 1), Hangs(0, 1)
    await known(several, hangs)

    for _ in range(POLICY.breaker.failures):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await several.ask(hangs, "", STREAM, 30.0)

    assert sorted(hangs.cancelled) == sorted(hangs.asked) == [0, 0, 1, 1]
    assert breakers(several) == ["open", "open"]


async def test_one_that_fails_beside_a_silent_one_leaves_that_its_chance() -> None:
    several, slow = endpoints(1, 1), asyncio.Event()

    async def ask_one(tried: Try) -> Outcome:
        if slow.is_set() or tried.endpoint.place:
            return BROKEN
        slow.set()
        await asyncio.sleep(12.0)
        return Answered("late")

    several.all[1].connection.in_flight = 10  # so that the first one is asked first

    assert await several.ask(ask_one, "", STREAM, 30.0) == Answered("late")


async def test_the_stream_of_one_that_has_been_overtaken_is_closed_though_it_begins() -> None:
    several = endpoints(1, 1)
    streams: list[Items] = []

    async def ask_one(_: Try) -> Begun:
        stream: Any = Items()
        streams.append(stream)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(20.0 / len(streams))  # the other one is asked after ten
        return Begun("text", stream)

    begun = await several.ask(ask_one, "", STREAM, 30.0)
    await asyncio.sleep(1.0)

    assert isinstance(begun, Begun)
    assert sorted(each.closed for each in streams) == [False, True]


class Items:
    """A stream that says whether it was closed."""

    closed = False

    async def aclose(self) -> None:
        self.closed = True


async def test_an_error_of_ours_is_raised_and_takes_no_place_in_a_breaker() -> None:
    several = endpoints(1, 1)

    async def ask_one(_: Try) -> Outcome:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await several.ask(ask_one, "")

    assert breakers(several) == ["closed", "closed"]
