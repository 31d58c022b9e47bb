"""A batch has stalled while its engine does not step, and only then."""

import pytest

from deployments.generation import IncompleteGenerationError
from tests.clock import FakeClock, until
from tests.generation.batches import FakeEngine, batch_of, read, sequence


async def test_a_step_that_hangs_stalls_the_batch_even_after_its_callers_have_gone() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch = batch_of(engine, clock=clock)
    left = sequence("a", 99)
    batch.add(left)
    await until(lambda: bool(engine.requests))
    left.given_up = True

    clock.now = 100.0
    assert batch.stalled_s() == 100.0
    engine.steps.release(2)
    await until(lambda: batch.active == 0)
    assert batch.stalled_s() == 0.0


async def test_every_step_of_a_batch_is_a_sign_of_life() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch = batch_of(engine, clock=clock)
    long = sequence("a", 99, budget_s=1000.0)
    batch.add(long)
    await until(lambda: bool(engine.requests))
    clock.now = 100.0
    engine.steps.release()
    await long.next()

    assert batch.stalled_s() == 0.0
    long.given_up = True
    engine.steps.release()


@pytest.mark.parametrize("how", ["refused", "incomplete", "broken"])
async def test_a_sequence_that_fails_is_no_work_any_more(how: str) -> None:
    engine, clock = FakeEngine(), FakeClock()
    engine.broken = how == "broken"
    batch = batch_of(engine, clock=clock)
    lost = sequence("" if how == "refused" else "a", 99)
    batch.add(lost)
    if how != "refused":
        await until(lambda: bool(engine.requests))
        engine.requests[0].incomplete = True
        engine.steps.release(2)
    with pytest.raises((ValueError, IncompleteGenerationError, RuntimeError)):
        await read(lost)

    clock.now = 100.0
    assert batch.stalled_s() == 0.0
