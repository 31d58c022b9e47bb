"""The driver and the breakers, on virtual time: who is let through, and what an attempt says about its model."""

import asyncio

import pytest

from deployments.policy.breaker import Closed, HalfOpen, Open
from tests.fakes import answers, fails, hangs, scripted
from tests.unit.driving import BACKUP, A, B, clock, new_breakers, run, trace

pytestmark = pytest.mark.looptime(idle_timeout=1)  # a driver that waits for ever fails instead of hanging


async def test_a_breaker_that_refuses_is_in_the_trace_and_costs_no_time() -> None:
    breakers, model = new_breakers(failures=2), scripted(fails())
    for _ in range(2):
        await run({A: model}, breakers)

    answer = await run({A: model, BACKUP: scripted(answers("from the backup"))}, breakers)

    assert trace(answer) == [("a", "refused"), ("backup", "answered")]
    assert answer.attempts[0].outcome.reason == "breaker open"
    assert (clock(), len(model.calls)) == (0.0, 2)


async def test_a_model_that_hangs_opens_its_breaker() -> None:
    breakers = new_breakers(failures=1)

    await run({A: scripted(hangs()), BACKUP: scripted(answers())}, breakers)

    assert isinstance(breakers.state("a"), Open)


async def test_a_probe_that_answers_closes_the_breaker() -> None:
    breakers, model = new_breakers(failures=1), scripted(fails(), answers("well again"))
    await run({A: model}, breakers)
    await asyncio.sleep(10.0)

    answer = await run({A: model}, breakers)

    assert (answer.result, breakers.state("a")) == ("well again", Closed(3))


async def test_a_probe_that_was_beaten_within_its_slice_gives_its_place_back() -> None:
    breakers = new_breakers(failures=1)
    await run({B: scripted(fails())}, breakers)
    await asyncio.sleep(10.0)

    answer = await run({A: scripted(answers(after=12.0)), B: scripted(hangs()), BACKUP: scripted(hangs())}, breakers)

    assert trace(answer) == [("a", "answered"), ("b", "cancelled")]
    assert breakers.state("b") == HalfOpen(2, probing=0)


async def test_while_a_probe_is_under_way_other_requests_go_to_the_next_candidate() -> None:
    breakers = new_breakers(failures=1)
    await run({A: scripted(fails())}, breakers)
    await asyncio.sleep(10.0)
    probe = asyncio.create_task(run({A: scripted(answers("well again", after=5.0))}, breakers))
    await asyncio.sleep(1.0)

    other = await run({A: scripted(answers()), BACKUP: scripted(answers("from the backup"))}, breakers)

    assert trace(other) == [("a", "refused"), ("backup", "answered")]
    assert (await probe).result == "well again"


async def test_a_caller_that_goes_away_gives_the_place_of_its_probe_back() -> None:
    breakers = new_breakers(failures=1)
    await run({A: scripted(fails())}, breakers)
    await asyncio.sleep(10.0)
    request = asyncio.create_task(run({A: scripted(hangs())}, breakers))
    await asyncio.sleep(1.0)
    assert breakers.state("a") == HalfOpen(2, probing=1)

    request.cancel()
    await asyncio.wait([request])

    assert breakers.state("a") == HalfOpen(2, probing=0)


async def test_a_caller_that_goes_away_says_nothing_about_the_models() -> None:
    breakers = new_breakers(failures=1)
    request = asyncio.create_task(run({A: scripted(hangs())}, breakers))
    await asyncio.sleep(25.0)

    request.cancel()
    await asyncio.wait([request])

    assert breakers.state("a") == Closed()
