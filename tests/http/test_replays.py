"""Requests that another router has had before: their deadlines do not begin anew."""

import asyncio
import time
from typing import Any

import pytest

from deployments.http.replays import MOST_HOSTS, QUICKEST_OF, SHORTEST_S, Arrivals
from deployments.policy.answer import Answer
from deployments.ray_serve.names import ARRIVED_HEADER
from deployments.request import InferenceRequest
from tests.http.service import ScriptedService
from tests.http.wire import ENDPOINTS, send


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def told(ago_s: float, host: str = "a", clock: Any = time.time) -> str:
    return f"{(clock() - ago_s) * 1000:.0f} {host}"


class Noting(ScriptedService):
    """Notes for how long each request has been under way."""

    ages_s: list[float]

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        self.ages_s.append(asyncio.get_running_loop().time() - started)
        return await super().answer(request, request_id, started)


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_what_a_router_had_before_has_what_is_left_of_its_deadline(path: str, body: dict[str, Any]) -> None:
    service = Noting()
    service.ages_s = []

    for ago_s in (0.0, 2.5, 0.0):
        await send(service, path, body, headers={ARRIVED_HEADER: told(ago_s, path)})
    await send(service, path, body)

    assert [age > 2.0 for age in service.ages_s] == [False, True, False, False]


def test_a_host_whose_clock_is_wrong_takes_nothing_from_a_deadline() -> None:
    clock = Clock()
    arrivals = Arrivals(clock)

    assert [arrivals.age_s(told(ago_s, "behind", clock)) for ago_s in (30.0, 30.2, 32.6)] == [0, 0, pytest.approx(2.6)]
    assert [arrivals.age_s(told(ago_s, "ahead", clock)) for ago_s in (-9.0, -8.9, -6.0)] == [0, 0, pytest.approx(3.0)]


def test_a_clock_that_is_set_misleads_for_so_many_requests_and_no_longer() -> None:
    clock = Clock()
    arrivals = Arrivals(clock)
    arrivals.age_s(told(0.0, clock=clock))

    ages = [arrivals.age_s(told(5.0, clock=clock)) for _ in range(QUICKEST_OF)]

    assert ages == [pytest.approx(5.0)] * (QUICKEST_OF - 1) + [0.0]


def test_the_usual_way_and_what_is_no_time_take_nothing() -> None:
    clock = Clock()
    arrivals = Arrivals(clock)
    arrivals.age_s(told(0.0, clock=clock))

    assert arrivals.age_s(told(SHORTEST_S - 0.01, clock=clock)) == 0.0
    for nonsense in ("", "soon", "-5 a", "1" * 400, "٣ a", "1e9 a"):
        assert arrivals.age_s(nonsense) == 0.0


def test_no_more_than_so_many_hosts_are_remembered() -> None:
    arrivals = Arrivals(Clock())

    for number in range(MOST_HOSTS + 50):
        arrivals.age_s(f"1 host{number}")

    assert len(arrivals._ways_s) == MOST_HOSTS
