"""What comes beside a stream's text is passed on in order; what its writers cannot do is told."""

import pytest
from msgspec.structs import replace

from deployments.execution.streams import CompletedStream, open_stream
from deployments.execution.whole import run_chain
from deployments.policy.answer import Answer
from deployments.policy.attempt import Began, Candidate, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Finished, Usage
from deployments.policy.stream_events import ExtrasDelta, StreamDone, StreamEvent, TextDelta
from tests.execution.driving import BACKUP, RESERVES, A, an_execution, clock, run
from tests.execution.streaming import RULES, read
from tests.fakes import Play, scripted
from tests.streamers import Beat, ScriptedStreamer, breaks, ends, hangs, says, streams

pytestmark = pytest.mark.looptime(idle_timeout=1)

A_BACKUP = [*says("and the backup goes on."), *ends()]


def reasons(*pieces: str) -> list[Beat]:
    return [Beat(Extras(message={"reasoning_content": piece})) for piece in pieces]


async def events_of(
    clients: dict[Candidate, ScriptedStreamer], dropped: dict[Candidate, tuple[str, ...]], **asked: object
) -> list[StreamEvent]:
    chain = FallbackChain(tuple(clients), Deadline.after(clock(), 30.0, RESERVES), first_content_s=8.0)
    execution = an_execution(chain, clients)
    request = replace(execution.request, **asked)
    execution = replace(execution, request=request, dropped_by=lambda candidate: dropped.get(candidate, ()))
    return [item async for item in await open_stream(execution, RULES)]


def answer_in(events: list[StreamEvent]) -> Answer:
    assert isinstance(events[-1], StreamDone)
    return events[-1].answer


# --- what comes beside the text -----------------------------------------------------------------------


async def test_reasoning_before_the_first_content_is_passed_on_first_and_as_one() -> None:
    got = await read({A: streams([*reasons("hm", ", yes"), *says("Hello"), *ends()])})

    assert got.beside == [ExtrasDelta(Extras(message={"reasoning_content": "hm, yes"}), "a", Tier.PRIMARY)]
    assert got.answer.extras == got.beside[0].extras


async def test_reasoning_without_an_answer_is_not_put_before_the_answer_of_another_model() -> None:
    got = await read({A: streams([*reasons("hm"), *ends()]), BACKUP: streams(A_BACKUP)})

    assert (got.beside, got.answer.extras) == ([], Extras())


async def test_what_comes_between_two_texts_stays_between_them() -> None:
    logprobs = Extras(choice={"logprobs": {"content": [{"token": "two"}]}})
    end = Finished("stop", Usage(1, 2), extras=Extras(usage={"total_tokens": 3}))

    events = await events_of({A: streams([*says("One "), Beat(logprobs), *says("two"), Beat(end)])}, {})

    assert [type(item).__name__ for item in events] == [
        "TextDelta", "ExtrasDelta", "TextDelta", "ExtrasDelta", "StreamDone",
    ]  # fmt: skip
    assert answer_in(events).extras == Extras(choice=logprobs.choice, usage={"total_tokens": 3})


async def test_details_of_token_counts_are_not_told_of_a_text_that_several_wrote() -> None:
    end = Finished("stop", Usage(1, 2), extras=Extras(usage={"total_tokens": 3}, body={"system_fingerprint": "fp"}))

    got = await read({A: streams([*says("One "), *hangs()]), BACKUP: streams([*says("two"), Beat(end)])})

    assert got.answer.extras == Extras(body={"system_fingerprint": "fp"})


async def test_a_whole_answer_has_what_came_beside_it() -> None:
    extras = Extras(message={"reasoning_content": "hm"})

    answer = await run({A: scripted(Play(Answered("Hello", extras=extras)))})

    assert answer.extras == extras


async def test_an_answer_that_is_there_as_a_whole_streams_what_came_beside_it_first() -> None:
    answer = Answer("Hello", "a", Tier.PRIMARY, degraded=False, attempts=(), extras=Extras(body={"x": 1}))

    events = [item async for item in CompletedStream(answer)]

    assert [type(item) for item in events] == [ExtrasDelta, TextDelta, StreamDone]


# --- what was dropped ---------------------------------------------------------------------------------


async def test_what_the_model_cannot_do_is_told_in_the_head_and_at_the_end() -> None:
    got = await events_of({A: streams([*says("Hello"), *ends()])}, {A: ("logprobs",)})

    assert (answer_in(got).dropped, answer_in(got).degraded) == (("logprobs",), True)


async def test_what_a_model_that_continues_a_text_cannot_do_is_told_too() -> None:
    clients = {A: streams([*says("It began "), *hangs()]), BACKUP: streams(A_BACKUP)}

    answer = answer_in(await events_of(clients, {BACKUP: ("image", "logprobs")}))

    assert (answer.dropped, answer.degraded, answer.served_by) == (("image", "logprobs"), True, Tier.BACKUP)


@pytest.mark.parametrize("fault", [hangs(), breaks(transient=True)], ids=["another model", "the same model"])
async def test_of_several_choices_only_the_first_is_continued(fault: list[Beat]) -> None:
    model, backup = streams([*says("It began "), *fault], A_BACKUP), streams(A_BACKUP)

    answer = answer_in(await events_of({A: model, BACKUP: backup}, {}, passthrough={"n": 2, "top_k": 5}))

    continued = [*model.streams, *backup.streams][1].request
    assert (continued.passthrough, answer.dropped) == ({"top_k": 5}, ("n",))
    assert answer.degraded


async def test_a_whole_answer_tells_what_its_model_could_not_do() -> None:
    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    execution = replace(an_execution(chain, {A: scripted(Play(Answered("Hello")))}), dropped_by=lambda _: ("image",))

    answer = await run_chain(execution)

    assert (answer.dropped, answer.degraded) == (("image",), True)


# --- the head -----------------------------------------------------------------------------------------


async def test_the_head_lists_the_attempt_that_gives_the_stream_behind_those_before_it() -> None:
    got = await read({A: streams(breaks(transient=False)), BACKUP: streams(A_BACKUP)})

    failed, answering = got.head.attempts
    assert (failed.candidate, answering.candidate) == (A, BACKUP)
    assert isinstance(answering, Began)
