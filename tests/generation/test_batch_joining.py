"""A prompt joins the batch when those before it are nearly read: until then it can be given up without being read."""

import pytest

from deployments.generation import Sampling
from deployments.generation.batch import Batch
from deployments.generation.detokenizer import Detokenizer
from deployments.generation.grammar import JsonGrammar
from deployments.generation.prompts import FittedPrompt
from deployments.generation.sequence import BatchedSequence
from tests.clock import FakeClock, until
from tests.generation.batches import Decoder, FakeEngine, batch_of, read, sequence


def prompt_of(size: int, *, budget_s: float = 60.0, now: float = 0.0) -> BatchedSequence:
    sampling = Sampling(2, 0.0, budget_s)
    return BatchedSequence(FittedPrompt([ord("a")] * size, 2), sampling, Detokenizer(Decoder().decode, ()), now)


async def test_a_long_prompt_joins_only_once_the_one_before_it_is_read() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    first, second = prompt_of(2000), prompt_of(2000)
    batch.add(first)
    await until(lambda: len(engine.requests) == 1)
    batch.add(second)
    engine.steps.release()
    await first.next()
    await until(lambda: len(engine.requests) == 2)
    engine.steps.release(9)

    assert (await read(second))[1].text == "ab"


async def test_short_prompts_join_together() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    sequences = [prompt_of(60) for _ in range(4)]
    for each in sequences:
        batch.add(each)
    engine.steps.release(9)

    assert [(await read(each))[1].text for each in sequences] == ["ab"] * 4
    assert engine.taken <= 3


@pytest.mark.parametrize(("came_s", "order"), [(9.8, [1000, 30, 2000]), (9.9, [1000, 2000, 30])])
async def test_a_short_prompt_passes_a_long_one_that_came_not_long_before_it(came_s: float, order: list[int]) -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    batch.add(prompt_of(1000))
    await until(lambda: len(engine.requests) == 1)
    batch.add(prompt_of(2000))
    last = prompt_of(30, now=came_s)
    batch.add(last)
    engine.steps.release(9)
    await read(last)
    await until(lambda: len(engine.requests) == 3)

    assert [request.prompt for request in engine.requests] == order


@pytest.mark.parametrize("late", [True, False])
async def test_the_prompt_of_a_caller_who_waits_no_more_is_not_read(*, late: bool) -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch = batch_of(engine, clock=clock)
    first, second, third = prompt_of(2000), prompt_of(2000, budget_s=5.0), prompt_of(3)
    batch.add(first)
    await until(lambda: len(engine.requests) == 1)
    batch.add(second)
    if late:
        clock.now = 6.0
    else:
        second.given_up = True
    engine.steps.release(9)
    await read(first)
    batch.add(third)
    engine.steps.release(9)

    assert (await read(third))[1].text == "ab"
    assert [request.prompt for request in engine.requests] == [2000, 3]
    assert batch.active == 0
    if late:
        assert (await second.next()).finish_reason == "deadline"  # type: ignore[union-attr]


async def with_a_new_form(engine: FakeEngine, clock: FakeClock, tokens: int) -> tuple[Batch, BatchedSequence]:
    """A batch in which one writes so many tokens, and another one has just joined whose form is new."""
    batch, beside = batch_of(engine, capacity=8, clock=clock), sequence("a", tokens)
    batch.add(beside)
    await until(lambda: len(engine.requests) == 1)
    batch.add(sequence("g", 1, grammar=JsonGrammar("1")))
    engine.steps.release()
    await until(lambda: len(engine.requests) == 2)
    return batch, beside


async def test_beside_others_a_new_grammar_joins_only_after_three_times_what_the_one_before_it_took() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch, beside = await with_a_new_form(engine, clock, 9)
    clock.now += 2.0  # what the engine takes for this step
    batch.add(sequence("h", 1, grammar=JsonGrammar("2")))
    engine.steps.release()
    await until(lambda: engine.taken == 2)
    clock.now += 5.9
    engine.steps.release(2)
    await until(lambda: engine.taken == 4)
    early = len(engine.requests)
    clock.now += 0.2
    engine.steps.release(2)
    await until(lambda: len(engine.requests) == 3)
    engine.steps.release(9)

    assert early == 2
    assert (await read(beside))[1].text == "abcdefghi"


async def test_the_rest_is_measured_on_the_step_that_compiles_though_others_are_read_before() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch, beside = await with_a_new_form(engine, clock, 20)
    engine.requests[1].waits = 2  # steps in which the engine reads what joined before
    batch.add(sequence("h", 1, grammar=JsonGrammar("2")))
    for step_s in (0.1, 0.1, 2.0):
        taken = engine.taken
        clock.now += step_s
        engine.steps.release()
        await until(lambda taken=taken: engine.taken == taken + 1)  # type: ignore[misc]
    clock.now += 5.0
    engine.steps.release(2)
    await until(lambda: engine.taken == 6)
    early = len(engine.requests)
    clock.now += 2.0
    engine.steps.release(2)
    await until(lambda: len(engine.requests) == 3)
    engine.steps.release(20)
    await read(beside)

    assert early == 2


async def test_a_long_prompt_lets_others_pass_for_a_quarter_of_its_budget_at_most() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    batch.add(prompt_of(1000))
    await until(lambda: len(engine.requests) == 1)
    batch.add(prompt_of(9000, budget_s=20.0))
    last = prompt_of(10, now=5.0)
    batch.add(last)
    engine.steps.release(9)
    await read(last)

    assert [request.prompt for request in engine.requests] == [1000, 9000, 10]


async def test_a_request_without_a_form_passes_those_whose_forms_wait_to_be_compiled() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, capacity=8)
    batch.add(sequence("a", 2))
    await until(lambda: len(engine.requests) == 1)
    forms = [sequence(letter, 1, grammar=JsonGrammar(letter)) for letter in "xyz"]
    for each in forms:
        batch.add(each)
    plain = sequence("b", 1)
    batch.add(plain)
    engine.steps.release()
    await until(lambda: len(engine.requests) == 3)
    joined = [chr(request.next) for request in engine.requests[1:]]
    engine.steps.release(9)

    assert joined == ["x", "b"]
    assert [(await read(each))[1].text for each in (plain, *forms)] == ["b", "x", "y", "z"]


async def test_new_grammars_do_not_wait_where_nobody_waits_for_them() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch = batch_of(engine, clock=clock)
    first, second = (sequence(letter, 1, grammar=JsonGrammar(letter)) for letter in "xy")
    batch.add(first)
    await until(lambda: len(engine.requests) == 1)
    clock.now += 2.0
    engine.steps.release()
    await read(first)
    batch.add(second)
    engine.steps.release()

    assert (await read(second))[1].text == "y"
