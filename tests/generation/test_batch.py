"""In a batch, each sequence gets its own text, ends by its own rules, and leaves when its caller has gone."""

import asyncio
import math
from typing import Any

import pytest

from deployments.generation import BatchFullError, BrokenEngineError, Generation, IncompleteGenerationError
from deployments.generation.batch import Batch
from deployments.generation.grammar import JsonGrammar
from tests.clock import FakeClock, until
from tests.generation.batches import Decoder, FakeEngine, Spaces, batch_of, read, sequence


async def test_each_sequence_gets_its_own_text_as_it_is_written_and_then_the_complete_generation() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    sequences = [sequence("a"), sequence("x", 2)]
    for each in sequences:
        batch.add(each)
    engine.steps.release(8)

    assert [await read(each) for each in sequences] == [
        (["a", "b", "c"], Generation("abc", 1, 3, "length")),
        (["x", "y"], Generation("xy", 1, 2, "length")),
    ]


async def test_the_tokens_of_a_step_are_decoded_in_one_call() -> None:
    engine, decoder = FakeEngine(), Decoder()
    batch = Batch(engine, decoder, 4, FakeClock())
    sequences = [sequence(letter, 5, decoder=decoder) for letter in "ax"]
    for each in sequences:
        batch.add(each)
    engine.steps.release(9)

    assert [(await read(each))[1].text for each in sequences] == ["abcde", "xyz{|"]
    at_the_end = 2 * len(sequences)  # for the text that was held back
    assert decoder.calls <= engine.taken + at_the_end


async def test_an_event_loop_is_woken_once_for_all_that_a_step_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, loop = FakeEngine(), asyncio.get_running_loop()
    batch = batch_of(engine)
    woken: list[object] = []
    wake = loop.call_soon_threadsafe

    def count_and_wake(*call: Any) -> asyncio.Handle:
        woken.append(call)
        return wake(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count_and_wake)
    sequences = [sequence("a"), sequence("x")]
    for each in sequences:
        batch.add(each)
    engine.steps.release(9)

    for each in sequences:
        await read(each)
    assert len(woken) <= engine.taken


async def test_a_sequence_with_a_stop_text_leaves_the_batch_when_it_is_found() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    stopped, other = sequence("a", 9, stop=("c",)), sequence("a", 9)
    batch.add(stopped)
    batch.add(other)
    engine.steps.release(20)

    assert (await read(stopped))[1] == Generation("ab", 1, 3, "stop", stopped_at="c")
    assert (await read(other))[1].text == "abcdefghi"
    assert engine.requests[0].cancelled


async def test_a_sequence_whose_budget_is_used_up_ends_with_the_text_written_so_far() -> None:
    engine, clock = FakeEngine(), FakeClock()
    batch = batch_of(engine, clock=clock)
    late = sequence("a", 99, budget_s=5.0)
    batch.add(late)
    engine.steps.release()
    assert await late.next() == "a"
    clock.now = 5.0
    engine.steps.release()

    assert (await read(late))[1] == Generation("ab", 1, 2, "deadline")
    assert engine.requests[0].cancelled


async def test_a_sequence_that_is_given_up_leaves_after_the_next_step_and_makes_room() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, 1)
    first = sequence("a", 99)
    batch.add(first)
    engine.steps.release()
    await first.next()
    first.given_up = True
    engine.steps.release()
    await read(first)

    assert engine.requests[0].cancelled
    assert batch.active == 0
    second = sequence("x", 1)
    batch.add(second)
    engine.steps.release(2)
    assert (await read(second))[1].text == "x"


async def test_a_full_batch_refuses_a_sequence_and_queues_nothing() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, 2)
    batch.add(sequence())
    batch.add(sequence())

    with pytest.raises(BatchFullError, match="batch of 2 is full"):
        batch.add(sequence())
    assert batch.active == 2
    engine.steps.release(8)


async def test_an_error_of_adding_a_request_is_raised_to_its_caller_alone() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    good, bad = sequence("a", 1), sequence("")
    batch.add(good)
    batch.add(bad)
    engine.steps.release(4)

    with pytest.raises(ValueError, match="no such token"):
        await read(bad)
    assert (await read(good))[1].text == "a"


async def test_a_request_that_the_engine_does_not_finish_is_an_error_of_its_caller_alone() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    unfinished, other = sequence("a", 9), sequence("x", 3)
    batch.add(unfinished)
    batch.add(other)
    engine.steps.release()
    assert [await unfinished.next(), await other.next()] == ["a", "x"]
    engine.requests[0].incomplete = True
    engine.steps.release(2)

    with pytest.raises(IncompleteGenerationError, match="out of memory"):
        await read(unfinished)
    assert (await read(other))[1].text == "xyz"
    assert batch.active == 0


async def test_an_engine_that_fails_fails_its_sequences_and_is_used_again() -> None:
    engine = FakeEngine()
    engine.broken = True
    batch = batch_of(engine)
    lost = sequence("a")
    batch.add(lost)
    engine.steps.release()

    with pytest.raises(RuntimeError, match="the engine failed: out of memory"):
        await read(lost)
    engine.broken = False
    next_one = sequence("x", 1)
    batch.add(next_one)
    engine.steps.release(2)
    assert (await asyncio.wait_for(read(next_one), 10))[1].text == "x"


async def test_only_the_sequence_whose_fault_it_is_hears_of_another_fault_than_the_engines() -> None:
    engine = FakeEngine()
    engine.broken = True
    batch = batch_of(engine)
    guilty, other = sequence("a"), sequence("x")
    batch.add(guilty)
    batch.add(other)
    await until(lambda: len(engine.requests) == 2)
    engine.requests[0].guilty = True
    engine.steps.release()

    with pytest.raises(ValueError, match="its fault"):
        await read(guilty)
    with pytest.raises(RuntimeError, match="the engine failed"):
        await read(other)


async def test_an_engine_that_cannot_recover_says_so_to_all_who_wait_and_to_all_who_come() -> None:
    engine = FakeEngine()
    engine.broken = engine.lost = True
    batch = batch_of(engine)
    ended = sequence("a", grammar=JsonGrammar("{}"))
    waits = sequence("x", grammar=JsonGrammar("true"))  # until the other's grammar has been compiled
    batch.add(ended)
    batch.add(waits)
    engine.steps.release()

    with pytest.raises(RuntimeError, match="the engine failed"):
        await read(ended)
    with pytest.raises(BrokenEngineError):
        await read(waits)
    with pytest.raises(BrokenEngineError):
        batch.add(sequence())
    assert batch.stalled_s() == math.inf


def test_a_sequence_whose_event_loop_is_closed_does_not_disturb_the_others() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, 2)

    async def leave() -> None:
        batch.add(sequence("a", 99))

    async def stay() -> str:
        other = sequence("x", 3)
        batch.add(other)
        engine.steps.release(9)
        return (await read(other))[1].text

    asyncio.run(leave())
    assert asyncio.run(stay()) == "xyz"
    assert engine.requests[0].cancelled


async def test_one_new_grammar_joins_a_step_as_the_engine_compiles_it_within_the_step() -> None:
    engine = FakeEngine()
    batch = batch_of(engine)
    old, new = JsonGrammar("{}"), JsonGrammar("true")
    for grammar in (None, old, old, new):
        batch.add(sequence("a", 2, grammar=grammar))
    while len(engine.requests) < 3:  # noqa: ASYNC110 - another thread adds them
        await asyncio.sleep(0.001)

    assert (len(engine.requests), batch.active) == (3, 4)
    engine.steps.release()
    while len(engine.requests) < 4:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    engine.steps.release(8)


async def test_nothing_is_read_or_compiled_for_a_caller_who_has_gone_before_joining() -> None:
    engine = FakeEngine()
    batch = batch_of(engine, capacity=8)
    waiting = [sequence(letter, 2, grammar=JsonGrammar(letter)) for letter in "abx"]
    for each in waiting:
        batch.add(each)
    await until(lambda: len(engine.requests) == 1)
    waiting[1].given_up = True
    engine.steps.release(8)

    assert (await read(waiting[2]))[1].text == "xy"
    assert len(engine.requests) == 2
    await until(lambda: batch.active == 0)
    assert batch.stalled_s() == 0.0


async def test_json_that_turns_into_white_space_is_given_up_and_other_text_is_not() -> None:
    engine = FakeEngine()
    batch = Batch(engine, Spaces(), 4, FakeClock())
    held, free = (sequence("a", 300, grammar=grammar, decoder=Spaces()) for grammar in (JsonGrammar("{}"), None))
    batch.add(held)
    batch.add(free)
    engine.steps.release(400)

    assert (await read(held))[1].completion_tokens < 150
    assert (await read(free))[1].completion_tokens == 300
