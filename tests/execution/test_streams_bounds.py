"""Bounds of streams, on virtual time; what resilience learns from them; answers of a demanded form."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.execution.streams import open_stream
from deployments.execution.watch import StreamWatch
from deployments.policy.attempt import Tier
from deployments.policy.breaker import Closed, Open
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Answered, Failed, StreamItem
from tests.execution.driving import BACKUP, RESERVES, A, B, an_execution, clock, new_state
from tests.execution.streaming import RULES, read
from tests.streamers import Beat, ends, hangs, says, streams

pytestmark = pytest.mark.looptime(idle_timeout=1)

BACKUP_TEXT = "and the backup goes on."
A_BACKUP = [*says(BACKUP_TEXT), *ends()]


# --- bounds -----------------------------------------------------------------------------------------


async def test_a_stream_without_end_is_ended_as_too_long() -> None:
    endless = streams([Beat("x" * 100, 0.1) for _ in range(1000)])

    got = await read({A: endless})

    assert (len(got.text), got.answer.finish_reason) == (RULES.max_characters, "length")
    assert endless.streams[0].closed


async def test_a_stream_that_takes_too_long_ends_with_what_there_is() -> None:
    slow = streams(says(*"word " * 100, every_s=4.0))

    got = await read({A: slow}, rules=StreamPolicy(stall_seconds=5.0, max_seconds=60.0))

    assert got.answer.finish_reason == "length"
    assert clock() <= 60.0 + RULES.stall_seconds


# --- what the resilience learns, and what is left behind ---------------------------------------------------


async def test_a_stall_counts_against_its_model_and_a_finished_stream_for_it() -> None:
    resilience = new_state(failures=1)

    await read({A: streams([*says("One "), *hangs()]), BACKUP: streams(A_BACKUP)}, resilience)
    await read({B: streams(A_BACKUP)}, resilience)

    assert isinstance(resilience.state("a"), Open)
    assert isinstance(resilience.state("b"), Closed)


async def test_a_reader_that_goes_away_stops_the_model_and_says_nothing_about_it() -> None:
    resilience, model = new_state(failures=1), streams([*says("One ", "two ", every_s=1.0), *hangs()])
    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    stream = await open_stream(an_execution(chain, {A: model}, resilience), RULES)

    await stream.aclose()

    assert model.streams[0].closed
    assert resilience.describe("a")["in_flight"] == 0
    assert resilience.state("a") == Closed()


async def test_a_reader_that_is_cancelled_in_a_wait_stops_the_model() -> None:
    model = streams([*says("One "), *hangs()])
    reading = asyncio.create_task(read({A: model}))
    await asyncio.sleep(2.0)

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await asyncio.sleep(0)
    assert model.streams[0].closed


async def test_nothing_is_read_ahead_of_a_reader() -> None:
    model = streams([*says("One ", "two ", "three "), *ends()])
    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    stream = await open_stream(an_execution(chain, {A: model}), RULES)

    await asyncio.sleep(100.0)

    assert model.streams[0].text == "One "
    assert [item async for item in stream][-1] is not None


# --- answers of a demanded form ---------------------------------------------------------------------


async def test_an_answer_of_a_demanded_form_is_held_back_until_it_is_known_to_fit() -> None:
    async def conform(answered: Answered) -> Answered | Failed:
        return answered if answered.result == "{}" else Failed("it does not fit")

    misfit = streams([*says("Hello", every_s=1.0), *ends()])

    got = await read({A: misfit, BACKUP: streams([*says("{", "}"), *ends()])}, conform=conform)

    assert (got.text, got.head.served_by) == ("{}", Tier.BACKUP)


async def test_a_bug_in_a_model_client_is_logged_and_costs_no_answer(events: list[dict[str, Any]]) -> None:
    got = await read({A: streams([*says("One "), Beat(RuntimeError("boom"))]), BACKUP: streams(A_BACKUP)})

    assert got.text == f"One {BACKUP_TEXT}"
    assert [(event["event"], event["reason"]) for event in events] == [("internal_error", "boom")]


async def test_a_client_that_makes_an_error_of_a_stall_leaves_no_cancellation_behind() -> None:
    async def items() -> AsyncGenerator[StreamItem, None]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("the connection is gone") from None
        yield ""

    watch, task = StreamWatch("a", new_state().paces, 5.0, 10.0), asyncio.current_task()
    end = await watch.next(Begun("One ", items()), clock())

    assert isinstance(end, Failed)
    assert task is not None
    assert not task.cancelling(), "the next cancellation that a call passes on would be taken for its own"
