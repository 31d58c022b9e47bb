"""What a language model's engine cannot do is no failure of the model: the next one is asked."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.formats.huggingface import HuggingFaceModel
from deployments.generation import (
    BatchFullError,
    CannotGenerateError,
    Generation,
    Prompt,
    PromptTooLongError,
    Sampling,
    Tokenization,
    TokenQuery,
    UnknownTokenError,
    UnsupportedSamplingError,
)
from deployments.policy.outcome import Answered, Blank, Finished, Refused, Rejected, Usage
from deployments.request import InferenceRequest
from deployments.request.native import from_python
from deployments.settings import GenerationDefaults
from tests.fakes import read_stream, read_whole
from tests.request.test_native import LIMITS

CANNOT_NOW = [
    (BatchFullError("its batch of 32 is full"), True),
    (CannotGenerateError("its engine is being started again"), False),
]
LONG = "the prompt has 9000 tokens, of 8192"
CANNOT = [
    (PromptTooLongError(LONG), Rejected(LONG, "text", "context_length_exceeded", elsewhere=True)),
    (UnknownTokenError("no such token"), Rejected("no such token", "text", elsewhere=True)),
    (
        UnsupportedSamplingError("logit_bias"),
        Rejected("its engine does not support logit_bias", "logit_bias", "unsupported_parameter", elsewhere=True),
    ),
]


class ScriptedGenerator:
    """A text generator that writes `texts`, or raises `error` before the first of them.

    Attributes:
        asked: prompt and sampling of each request.
        stalled: what it says of its work, in seconds.
        chat_template: that of the model.
    """

    stalled = 0.0
    chat_template = ""

    def __init__(self, *texts: str, error: Exception | None = None, finish_reason: str = "stop") -> None:
        self.texts, self.error = texts, error
        self.finish_reason = finish_reason
        self.asked: list[tuple[Prompt, Sampling]] = []

    @property
    def generation(self) -> Generation:
        return Generation("".join(self.texts), 3, len(self.texts), self.finish_reason)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        self.asked.append((prompt, sampling))
        if self.error:
            raise self.error
        return self.generation

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        self.asked.append((prompt, sampling))
        if self.error:
            raise self.error
        for text in self.texts:
            yield text
        yield self.generation

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        raise AssertionError("nobody asks its tokenizer")

    def describe(self) -> dict[str, Any]:
        return {"engine": "scripted"}

    def stalled_s(self) -> float:
        return self.stalled


def served(generator: ScriptedGenerator, **defaults: Any) -> HuggingFaceModel:
    return HuggingFaceModel(generator, GenerationDefaults(**defaults), {"format": "huggingface"})


def a_request(text: str = "Hi", **body: Any) -> InferenceRequest:
    return from_python({"text": text, **body}, LIMITS)


@pytest.mark.parametrize(("error", "rejected"), CANNOT, ids=lambda each: type(each).__name__)
async def test_what_the_engine_can_never_do_is_rejected_by_field_and_another_model_may(
    error: Exception, rejected: Rejected
) -> None:
    model = served(ScriptedGenerator(error=error))

    assert await read_whole(model, a_request()) == rejected
    assert await read_stream(model, a_request()) == [rejected]


@pytest.mark.parametrize(("error", "full"), CANNOT_NOW, ids=["full", "started again"])
async def test_what_the_engine_cannot_do_now_is_refused_with_the_reason(error: Exception, *, full: bool) -> None:
    model = served(ScriptedGenerator(error=error))

    assert await read_whole(model, a_request()) == Refused(str(error), full=full)
    assert await read_stream(model, a_request()) == [Refused(str(error), full=full)]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_engine_raises_besides_is_left_to_the_replica(*, stream: bool) -> None:
    model = served(ScriptedGenerator(error=MemoryError("no room")))

    with pytest.raises(MemoryError):
        await model.start(a_request(stream=stream), 10.0)


async def test_a_generation_is_an_answer_with_its_counts_and_without_white_space_around_it() -> None:
    model = served(ScriptedGenerator(" ", " It", " rains. ", finish_reason="length"))

    assert await read_whole(model, a_request()) == Answered("It rains.", Usage(3, 3), "length")
    *texts, end = await read_stream(model, a_request())
    assert "".join(map(str, texts)) == "It rains. "
    assert end == Finished("length", Usage(3, 3))


async def test_a_generation_of_nothing_visible_is_blank() -> None:
    assert isinstance(await read_whole(served(ScriptedGenerator(" \n")), a_request()), Blank)


async def test_a_stream_that_has_begun_is_handed_over_with_its_first_words() -> None:
    begun = await served(ScriptedGenerator(" ", "It", " rains.")).start(a_request(stream=True), 10.0)

    assert isinstance(begun, Begun)
    assert begun.first == "It"
    await begun.aclose()


async def test_parameters_of_a_request_go_before_those_of_the_spec_and_stay_below_its_limit() -> None:
    generator = ScriptedGenerator("x")
    model = served(generator, max_tokens=20, max_tokens_limit=50, temperature=0.3)

    await read_whole(model, a_request(max_tokens=400, temperature=0, seed=7), 4.0)
    await read_whole(model, a_request(), 4.0)

    asked, default = (sampling for _, sampling in generator.asked)
    assert (asked.max_tokens, asked.temperature, asked.seed) == (50, 0.0, 7)
    assert (default.max_tokens, default.temperature, default.seed) == (20, 0.3, None)


def test_a_language_model_has_stalled_for_as_long_as_its_generator() -> None:
    generator = ScriptedGenerator()
    generator.stalled = 7.0

    assert served(generator).stalled_s() == 7.0
