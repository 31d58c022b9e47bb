"""A long prompt is read piece by piece, so that nobody waits for more than a piece of it."""

import pytest

from deployments.generation import BatchFullError, IncompleteGenerationError, Sampling
from deployments.generation.detokenizer import Detokenizer
from deployments.generation.grammar import JsonGrammar
from deployments.generation.prompts import FittedPrompt
from deployments.generation.sequence import BatchedSequence
from tests.clock import FakeClock, until
from tests.generation.batches import Decoder, FakeEngine, batch_of, read, sequence

PIECE = 100


def prompt_of(
    size: int, letter: str = "x", *, budget_s: float = 60.0, now: float = 0.0, form: str = ""
) -> BatchedSequence:
    """A prompt of so many tokens that goes on with "ab"."""
    tokens = [ord(letter)] * (size - 1) + [ord("a")]
    sampling = Sampling(2, 0.0, budget_s, grammar=JsonGrammar(form) if form else None)
    return BatchedSequence(FittedPrompt(tokens, 2), sampling, Detokenizer(Decoder().decode, ()), now)


def sizes(engine: FakeEngine) -> list[tuple[int, int]]:
    """Of every request that the engine was given: the tokens of its prompt, and those unread."""
    return [(request.prompt, request.to_read) for request in engine.requests]


async def test_a_long_prompt_is_read_in_pieces_and_answered_as_a_whole() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    long = prompt_of(250)
    batch.add(long)
    engine.steps.release(9)

    assert (await read(long))[1].text == "ab"
    assert sizes(engine) == [(100, 100), (200, 100), (250, 50)]
    assert batch.active == 0


async def test_a_short_prompt_joins_between_two_pieces_of_a_long_one() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    long, short = prompt_of(900), sequence("a", 1)
    batch.add(long)
    await until(lambda: len(engine.requests) == 1)
    batch.add(short)
    engine.steps.release(2)

    assert (await read(short))[1].text == "a"
    assert sizes(engine)[:3] == [(100, 100), (1, 1), (200, 100)]
    engine.steps.release(20)
    assert (await read(long))[1].text == "ab"


async def test_while_others_write_as_much_time_passes_without_a_piece_as_the_last_one_took() -> None:
    engine, clock = FakeEngine(PIECE), FakeClock()
    batch, beside, long = batch_of(engine, clock=clock), sequence("a", 20), prompt_of(900)
    batch.add(beside)
    await until(lambda: len(engine.requests) == 1)
    batch.add(long)
    engine.steps.release()
    await until(lambda: len(engine.requests) == 2)
    clock.now += 1.0  # what the piece takes
    engine.steps.release(6)
    await until(lambda: engine.taken == 7)
    early = len(engine.requests)
    clock.now += 1.1
    engine.steps.release()
    await until(lambda: len(engine.requests) == 3)
    engine.steps.release(60)

    assert early == 2
    assert (await read(beside))[1].text == "abcdefghijklmnopqrst"


@pytest.mark.parametrize("late", [True, False])
async def test_who_goes_while_a_long_prompt_is_read_costs_a_piece(*, late: bool) -> None:
    engine, clock = FakeEngine(PIECE), FakeClock()
    batch = batch_of(engine, clock=clock)
    long, short = prompt_of(900, budget_s=5.0), sequence("a", 2)
    batch.add(long)
    await until(lambda: len(engine.requests) == 1)
    if late:
        clock.now = 6.0
    else:
        long.given_up = True
    batch.add(short)
    engine.steps.release(9)

    assert (await read(short))[1].text == "ab"
    assert sizes(engine) == [(100, 100), (1, 1)]
    assert engine.requests[0].cancelled or not engine.requests[0].left
    assert batch.active == 0
    if late:
        assert (await long.next()).finish_reason == "deadline"  # type: ignore[union-attr]


async def test_what_was_read_for_one_prompt_is_not_read_again_for_another_that_begins_alike() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    first, alike, other = prompt_of(450), prompt_of(390), prompt_of(150, "y")
    engine.steps.release(40)
    for each in (first, alike, other):
        batch.add(each)
        assert (await read(each))[1].text == "ab"

    assert sizes(engine)[4:] == [(450, 50), (390, 90), (100, 100), (150, 50)]


async def test_a_prompt_whose_pieces_the_engine_does_not_keep_is_read_at_once() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    long = prompt_of(900)
    batch.add(long)
    await until(lambda: len(engine.requests) == 1)
    engine.requests[0].waits = 9  # steps, in which the engine reads again what it has lost
    engine.steps.release(30)

    assert (await read(long))[1].text == "ab"
    assert sizes(engine) == [(100, 100), (900, 800)]


async def test_a_step_that_fails_fails_those_whose_prompts_are_being_read() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    long, later = prompt_of(900), prompt_of(150, "y")
    batch.add(long)
    await until(lambda: len(engine.requests) == 1)
    engine.broken = True
    engine.steps.release()
    with pytest.raises(RuntimeError, match="the engine failed: out of memory"):
        await long.next()
    engine.broken = False
    batch.add(later)
    engine.steps.release(9)

    assert (await read(later))[1].text == "ab"
    assert engine.requests[0].cancelled


async def test_a_beginning_that_the_engine_gives_up_is_an_error_of_its_caller_alone() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine)
    beside, long = sequence("a", 3), prompt_of(900)
    batch.add(beside)
    batch.add(long)
    await until(lambda: len(engine.requests) == 2)
    engine.requests[1].waits = 9
    engine.requests[1].incomplete = True
    engine.steps.release(9)

    with pytest.raises(IncompleteGenerationError, match="out of memory"):
        await long.next()
    assert (await read(beside))[1].text == "abc"
    assert batch.active == 0


async def test_forms_that_wait_to_be_compiled_leave_half_of_the_places_to_others() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, capacity=8)
    batch.add(sequence("a", 9))
    await until(lambda: len(engine.requests) == 1)
    for number in range(4):
        batch.add(sequence("x", 1, grammar=JsonGrammar(str(number))))
    with pytest.raises(BatchFullError, match="4 forms wait"):
        batch.add(sequence("x", 1, grammar=JsonGrammar("4")))
    plain = sequence("b", 1)
    batch.add(plain)
    engine.steps.release(40)

    assert (await read(plain))[1].text == "b"


async def test_the_prompt_of_a_form_is_not_read_before_it_is_the_turn_of_its_form() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine, capacity=8)
    first, second = (prompt_of(250, letter, form=letter) for letter in "xy")
    beside = sequence("a", 40)
    batch.add(beside)
    await until(lambda: len(engine.requests) == 1)
    batch.add(first)
    batch.add(second)
    engine.steps.release(60)

    assert [(await read(each))[1].text for each in (first, second)] == ["ab", "ab"]
    assert sizes(engine)[:5] == [(1, 1), (100, 100), (200, 100), (250, 50), (100, 100)]


async def test_a_form_whose_caller_left_while_its_prompt_was_read_takes_nobodys_turn() -> None:
    engine = FakeEngine(PIECE)
    batch = batch_of(engine, capacity=8)
    first, second = (prompt_of(250, "x", form="1") for _ in range(2))
    batch.add(sequence("a", 40))
    await until(lambda: len(engine.requests) == 1)
    batch.add(first)
    engine.steps.release()
    await until(lambda: len(engine.requests) == 2)
    first.given_up = True
    batch.add(second)
    engine.steps.release(60)

    assert (await read(second))[1].text == "ab"
