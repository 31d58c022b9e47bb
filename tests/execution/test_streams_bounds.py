"""Bounds of streams, on virtual time; what resilience learns from them; answers of a demanded form."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.execution import relay
from deployments.execution.attempt import Begun
from deployments.execution.relay import Relay
from deployments.execution.streams import open_stream
from deployments.execution.transcript import Transcript
from deployments.execution.watch import StreamWatch
from deployments.policy.attempt import Tier
from deployments.policy.breaker import Closed, Open
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamPolicy
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Answered, Failed, StreamItem
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import StreamDone, TextDelta
from tests.execution.driving import BACKUP, RESERVES, A, B, an_execution, clock, new_state
from tests.execution.streaming import LAST_RESORT, RULES, read
from tests.streamers import Beat, Script, breaks, ends, hangs, says, streams

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


def boom(*_: Any, **__: Any) -> Any:
    raise RuntimeError("boom")


async def boom_later(*_: Any, **__: Any) -> Any:
    boom()


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "noting the end of an attempt": (Transcript, "close", boom),
    "handing the permit back": (ResilienceState, "record", boom),
    "closing the stream": (Begun, "aclose", boom_later),
    "making the answer": (Relay, "_answer", boom),
    "finding who continues": (relay, "successors", boom),
    "opening a continuation": (relay, "open_chain", boom_later),
}
AT_AN_END = ("noting the end of an attempt", "handing the permit back", "closing the stream", "making the answer")
AT_A_BREAK = tuple(name for name in BROKEN if name != "making the answer")


@pytest.mark.parametrize(
    ("bug", "ending"),
    [*((bug, ends()) for bug in AT_AN_END), *((bug, breaks()) for bug in AT_A_BREAK)],
    ids=[*(f"{bug}, finished" for bug in AT_AN_END), *(f"{bug}, broken off" for bug in AT_A_BREAK)],
)
async def test_a_bug_of_ours_in_settling_or_continuing_a_stream_ends_its_text_by_the_last_resort(
    bug: str, ending: Script, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    chain = FallbackChain((A, BACKUP), Deadline.after(clock(), 30.0, RESERVES))
    model = streams([*says("One "), *ending])
    stream = await open_stream(an_execution(chain, {A: model, BACKUP: streams(A_BACKUP)}), RULES)
    monkeypatch.setattr(*BROKEN[bug])

    got = [item async for item in stream]
    await stream.aclose()

    done = [item.answer for item in got if isinstance(item, StreamDone)]
    texts = "".join(item.text for item in got if isinstance(item, TextDelta))
    assert [answer.served_by for answer in done] == [Tier.LAST_RESORT]
    assert texts == done[0].result
    assert texts.startswith("One ")
    assert texts.endswith(LAST_RESORT)
    assert {(event["event"], event["where"], event["reason"]) for event in events} == {
        ("internal_error", "relay", "boom")
    }
    assert model.streams[0].closed or bug == "closing the stream"


async def test_a_reader_that_goes_meets_no_bug_of_ours_in_releasing_the_model(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    model = streams([*says("One "), *hangs()])
    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    stream = await open_stream(an_execution(chain, {A: model}), RULES)
    monkeypatch.setattr(ResilienceState, "record", boom)

    await stream.aclose()

    assert model.streams[0].closed
    assert [event["event"] for event in events] == ["internal_error"]


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
