"""The driver and the breakers, on virtual time: who is let through, and what an attempt says about its model."""

import asyncio

import pytest

from deployments.policy.attempt import Why
from deployments.policy.breaker import BreakerState, Closed, HalfOpen, Open
from deployments.policy.next_step import PROBE_GRACE_S
from tests.execution.driving import ANSWER_BY, BACKUP, A, clock, new_state, run, trace
from tests.fakes import Play, answers, fails, hangs, scripted

pytestmark = pytest.mark.looptime(idle_timeout=1)  # a driver that waits for ever fails instead of hanging


async def test_a_breaker_that_refuses_is_in_the_trace_and_costs_no_time() -> None:
    resilience, model = new_state(failures=2), scripted(fails())
    for _ in range(2):
        await run({A: model}, resilience)

    answer = await run({A: model, BACKUP: scripted(answers("from the backup"))}, resilience)

    assert trace(answer) == [("a", "refused"), ("backup", "answered")]
    assert answer.attempts[0].outcome.reason == "breaker open"
    assert (clock(), len(model.calls)) == (0.0, 2)


async def test_a_model_that_hangs_opens_its_breaker() -> None:
    resilience = new_state(failures=1)

    await run({A: scripted(hangs()), BACKUP: scripted(answers())}, resilience)

    assert isinstance(resilience.state("a"), Open)


async def test_a_probe_that_answers_closes_the_breaker() -> None:
    resilience, model = new_state(failures=1), scripted(fails(), answers("well again"))
    await run({A: model}, resilience)
    await asyncio.sleep(10.0)

    answer = await run({A: model}, resilience)

    assert (answer.result, resilience.state("a")) == ("well again", Closed(3))


async def test_the_backup_is_raced_beside_a_probe_so_that_a_failed_one_costs_its_caller_nothing() -> None:
    resilience = new_state(failures=1)
    await run({A: scripted(fails())}, resilience)
    await asyncio.sleep(10.0)

    answer = await run(
        {A: scripted(fails(after=3.0)), BACKUP: scripted(answers("from the backup", after=1.0))}, resilience
    )

    assert answer.result == "from the backup"
    assert clock() == pytest.approx(11.0 + PROBE_GRACE_S)
    assert [attempt.why for attempt in answer.attempts] == [Why.NEXT, Why.BESIDE_PROBE]


@pytest.mark.parametrize(("probe", "state"), [(answers(after=3.0), Closed), (fails(after=3.0), Open)])
async def test_a_probe_that_loses_goes_on_and_decides_about_its_breaker(probe: Play, state: type[BreakerState]) -> None:
    resilience, model = new_state(failures=1), scripted(fails(), probe)
    await run({A: model}, resilience)
    await asyncio.sleep(10.0)
    await run({A: model, BACKUP: scripted(answers())}, resilience)
    assert isinstance(resilience.state("a"), HalfOpen)

    await asyncio.sleep(3.1)

    assert isinstance(resilience.state("a"), state)
    assert model.calls[1].cancelled is None


async def test_a_probe_that_loses_and_hangs_is_a_failed_one_when_its_deadline_is_over() -> None:
    resilience, model = new_state(failures=1), scripted(fails(), hangs())
    await run({A: model}, resilience)
    await asyncio.sleep(10.0)
    await run({A: model, BACKUP: scripted(answers())}, resilience)

    await asyncio.sleep(ANSWER_BY + 0.1)

    assert isinstance(resilience.state("a"), Open)
    assert model.calls[1].cancelled == pytest.approx(10.0 + ANSWER_BY)


async def test_while_a_probe_is_under_way_other_requests_go_to_the_next_candidate() -> None:
    resilience = new_state(failures=1)
    await run({A: scripted(fails())}, resilience)
    await asyncio.sleep(10.0)
    probe = asyncio.create_task(run({A: scripted(answers("well again", after=5.0))}, resilience))
    await asyncio.sleep(1.0)

    other = await run({A: scripted(answers()), BACKUP: scripted(answers("from the backup"))}, resilience)

    assert trace(other) == [("a", "refused"), ("backup", "answered")]
    assert (await probe).result == "well again"


async def test_a_caller_that_goes_away_gives_the_place_of_its_probe_back() -> None:
    resilience = new_state(failures=1)
    await run({A: scripted(fails())}, resilience)
    await asyncio.sleep(10.0)
    request = asyncio.create_task(run({A: scripted(hangs())}, resilience))
    await asyncio.sleep(1.0)
    assert resilience.state("a") == HalfOpen(2, probing=1)

    request.cancel()
    await asyncio.wait([request])

    assert resilience.state("a") == HalfOpen(2, probing=0)


async def test_a_caller_that_goes_away_says_nothing_about_the_models() -> None:
    resilience = new_state(failures=1)
    request = asyncio.create_task(run({A: scripted(hangs())}, resilience))
    await asyncio.sleep(25.0)

    request.cancel()
    await asyncio.wait([request])

    assert resilience.state("a") == Closed()
