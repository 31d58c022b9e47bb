"""The choices behind the first never spoil it: what fails is asked for anew, and what is missing is told."""

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.formats.choices import PATIENCE_S
from deployments.generation import BatchFullError, Generation, IncompleteGenerationError, Prompt, Sampling
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Finished
from deployments.request import InferenceRequest
from deployments.request.openai import completion_request
from tests.fakes import read_stream, read_whole
from tests.formats.test_choices import chat, served
from tests.formats.test_huggingface import ScriptedGenerator
from tests.request.test_native import LIMITS

OBJECT = {"type": "json_object"}
RAN_OUT = IncompleteGenerationError("no memory")


class Playing(ScriptedGenerator):
    """Writes one text a request, in the order in which they come, or raises, or is silent.

    Attributes:
        writing: requests under way.
        takes_s: seconds to the end of each text.
    """

    def __init__(self, *plays: str | Exception | None, capacity: int = 99, takes_s: float = 1.0) -> None:
        super().__init__()
        self.plays, self.capacity, self.takes_s = plays, capacity, takes_s
        self.writing = 0

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        if self.writing >= self.capacity:
            raise BatchFullError("its batch is full")
        self.asked.append((prompt, sampling))
        play = self.plays[len(self.asked) - 1]
        self.writing += 1
        try:
            await asyncio.sleep(0)
            if isinstance(play, Exception):
                raise play
            yield ""
            await asyncio.sleep(math.inf if play is None else self.takes_s)
            yield play or ""
            yield Generation(play or "", 3, 2, "stop")
        finally:
            self.writing -= 1


async def asked(generator: Playing, request: InferenceRequest, budget_s: float = 30.0) -> tuple[Any, Finished]:
    """The text of the first choice, and the end of the answer, whether it is streamed or not."""
    if request.stream:
        *texts, end = await read_stream(served(generator), request, budget_s)
        assert isinstance(end, Finished), end
        return "".join(text for text in texts if isinstance(text, str)), end
    answered = await read_whole(served(generator), request, budget_s)
    assert isinstance(answered, Answered), answered
    end = Finished(answered.finish_reason, answered.usage, extras=answered.extras, dropped=answered.dropped)
    return answered.result, end


def texts_of(extras: Extras) -> list[tuple[int, str]]:
    return [(other["index"], other["message"]["content"]) for other in extras.others]


@pytest.mark.looptime
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bad", [RAN_OUT, RuntimeError("the engine failed"), "", " \n"])
async def test_a_choice_that_fails_or_is_blank_is_drawn_anew(*, stream: bool, bad: str | Exception) -> None:
    generator = Playing("one", bad, "three", "two")

    text, end = await asked(generator, chat(n=3, seed=7, stream=stream))

    assert (text, texts_of(end.extras), end.dropped) == ("one", [(1, "two"), (2, "three")], ())
    assert len({sampling.seed for _, sampling in generator.asked}) == 4, "the same seed would draw the same text"


@pytest.mark.looptime
@pytest.mark.parametrize("stream", [False, True])
async def test_the_choices_that_came_about_are_given_and_the_others_are_counted(*, stream: bool) -> None:
    generator = Playing("one", RAN_OUT, "three", RAN_OUT)

    text, end = await asked(generator, chat(n=3, stream=stream))

    assert (text, texts_of(end.extras), end.dropped) == ("one", [(1, "three")], ("n:1",))


@pytest.mark.looptime
async def test_a_blank_choice_of_a_request_that_draws_nothing_would_come_again_and_is_left_out() -> None:
    generator = Playing("one", "")

    assert (await asked(generator, chat(n=2, temperature=0)))[1].dropped == ("n:1",)
    assert len(generator.asked) == 2


@pytest.mark.looptime
@pytest.mark.parametrize("stream", [False, True])
async def test_a_choice_without_the_form_that_is_demanded_is_drawn_anew_and_never_given(*, stream: bool) -> None:
    generator = Playing('{"a": 1}', "no JSON", '```json\n{"a": 3}\n```', '{"a": 2}')

    _, end = await asked(generator, chat(n=3, response_format=OBJECT, stream=stream))

    assert (texts_of(end.extras), end.dropped) == ([(1, '{"a": 2}'), (2, '{"a": 3}')], ())


@pytest.mark.looptime
@pytest.mark.parametrize("stream", [False, True])
async def test_choices_that_find_no_room_take_the_places_of_those_that_have_ended(*, stream: bool) -> None:
    generator = Playing("one", "two", "three", "four", capacity=2)

    text, end = await asked(generator, chat(n=4, stream=stream))

    assert (text, texts_of(end.extras)) == ("one", [(1, "two"), (2, "three"), (3, "four")])


@pytest.mark.looptime
async def test_where_others_have_taken_all_places_nobody_waits_for_one() -> None:
    generator = Playing("one", capacity=1)

    class Taken(Playing):
        async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
            if generator.asked:
                raise BatchFullError("its batch is full")
            async for item in generator.stream(prompt, sampling):
                yield item

    text, end = await asked(Taken(), chat(n=4))

    assert (text, end.dropped) == ("one", ("n:3",))
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


@pytest.mark.looptime
async def test_a_silent_choice_is_left_out_and_the_stream_shows_signs_of_life_meanwhile() -> None:
    generator = Playing("one", None, "three")

    items = await read_stream(served(generator), chat(n=3), 300.0)

    assert isinstance(end := items[-1], Finished)
    assert (texts_of(end.extras), end.dropped) == ([(1, "three")], ("n:1",))
    assert asyncio.get_running_loop().time() == pytest.approx(1.0 + PATIENCE_S, abs=0.5)
    assert items[items.index("one") :].count("") >= PATIENCE_S - 1
    assert generator.writing == 0


@pytest.mark.looptime
async def test_a_choice_gets_no_more_time_than_its_request_has_left_and_the_first_is_not_late_for_it() -> None:
    generator = Playing("one", "two", capacity=1, takes_s=3.0)

    text, end = await asked(generator, chat(n=2), budget_s=4.0)

    assert (text, end.dropped) == ("one", ("n:1",))
    assert asyncio.get_running_loop().time() < 4.0
    assert generator.asked[1][1].budget_s < 1.0


@pytest.mark.looptime
@pytest.mark.parametrize(("first", "form"), [("", {}), ("no JSON", {"response_format": OBJECT})])
async def test_where_the_first_choice_is_of_no_use_another_one_is_the_answer(first: str, form: dict[str, Any]) -> None:
    generator = Playing(first, '{"a": 2}', '{"a": 3}')

    text, end = await asked(generator, chat(n=3, **form))

    assert (text, texts_of(end.extras), end.dropped) == ('{"a": 2}', [(1, '{"a": 3}')], ("n:1",))


@pytest.mark.looptime
async def test_every_choice_of_a_text_completion_keeps_the_space_that_it_begins_with() -> None:
    request = completion_request(b'{"prompt": "It", "n": 2}', LIMITS, headers={}).requests[0]

    text, end = await asked(Playing(" rains", " pours"), request)

    assert (text, texts_of(end.extras)) == (" rains", [(1, " pours")])
