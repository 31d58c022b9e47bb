"""Every sampling parameter does what its name says, alone and in the batch: with a model of a few kilobytes."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.generation import (
    Generation,
    Prompt,
    PromptTooLongError,
    Sampling,
    ShortestAnswerError,
    TextGenerator,
    UnknownTokenError,
)
from deployments.generation.continuous import ContinuousGenerator
from deployments.generation.prompts import PromptTokenizer, fit_to_context, split_text
from deployments.generation.transformers import TransformersGenerator
from tests.sources.tiny import model, tokenizer

PROMPT = Prompt("Hello")
B = tokenizer().convert_tokens_to_ids("b")
END = 256


@pytest.fixture(scope="module", params=["alone", "batched"])
def engine(request: pytest.FixtureRequest, tiny: TransformersGenerator) -> Iterator[TextGenerator]:
    if request.param == "alone":
        yield tiny
        return
    batched = ContinuousGenerator(tiny.model, tiny.tokenizer, tiny, capacity=4)
    yield batched
    batched.close()


async def write(engine: TextGenerator, prompt: Prompt = PROMPT, **sampling: Any) -> Generation:
    return await engine.generate(
        prompt, Sampling(**{"max_tokens": 12, "temperature": 0.0, "budget_s": 60.0} | sampling)
    )


@pytest.mark.parametrize("knob", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}])
async def test_drawing_from_the_likeliest_token_alone_is_taking_it(engine: TextGenerator, knob: dict[str, Any]) -> None:
    greedy = await write(engine)

    assert await write(engine, temperature=1.5, seed=3, **knob) == greedy
    assert await write(engine, temperature=1.5, seed=3) != greedy


async def test_a_repetition_penalty_changes_what_is_repeated(engine: TextGenerator) -> None:
    plain = await write(engine, max_tokens=40)

    assert (await write(engine, max_tokens=40, repetition_penalty=5.0)).text != plain.text


async def test_a_token_that_stops_ends_the_answer_and_is_not_part_of_it(engine: TextGenerator) -> None:
    written = await write(engine, logit_bias={B: 100.0}, stop_token_ids=(B,))
    later = await write(engine, logit_bias={B: 50.0}, stop_token_ids=(B,), min_tokens=3)

    assert (written.text, written.finish_reason) == ("", "stop")
    assert (len(later.text) > 0, "b" in later.text, later.finish_reason) == (True, False, "stop")


async def test_the_end_token_does_not_end_an_answer_that_ignores_it_or_is_too_short(engine: TextGenerator) -> None:
    bias = {END: 50.0}

    assert (await write(engine, logit_bias=bias)).completion_tokens == 1
    assert (await write(engine, logit_bias=bias, min_tokens=5)).completion_tokens == 6
    assert (await write(engine, logit_bias=bias, ignore_eos=True)).completion_tokens == 12


async def test_a_stop_text_does_not_end_an_answer_that_is_too_short(engine: TextGenerator) -> None:
    written = await write(engine, logit_bias={B: 100.0}, stop=("b",), min_tokens=4)

    assert (written.text, written.finish_reason) == ("bbb", "stop")


async def test_the_log_probability_of_each_token_is_told_with_the_likeliest_ones(engine: TextGenerator) -> None:
    written = await write(engine, logprobs=2)

    assert len(written.logprobs) == written.completion_tokens
    for told in written.logprobs:
        assert told.logprob == max(odds for _, odds in told.top), "greedy writing takes the likeliest"
        assert 0 < sum(math.exp(odds) for _, odds in told.top) < 1
        assert len(told.top) == 2
    assert (await write(engine)).logprobs == ()


async def test_raw_text_is_continued_without_the_chat_template_and_so_are_token_ids(engine: TextGenerator) -> None:
    ids = tuple(tokenizer()("Hello")["input_ids"])

    raw = await write(engine, Prompt("Hello", raw=True))

    assert raw.prompt_tokens == len(ids) < (await write(engine)).prompt_tokens
    assert await write(engine, Prompt("", tokens=ids)) == raw
    with pytest.raises(UnknownTokenError, match="999"):
        await write(engine, Prompt("", tokens=(999,)))


async def test_an_answer_has_what_is_left_of_the_context(engine: TextGenerator) -> None:
    written = await write(engine, Prompt("x" * 120, raw=True), max_tokens=1024, min_tokens=8)

    assert (written.prompt_tokens, written.completion_tokens, written.finish_reason) == (120, 8, "length")
    with pytest.raises(ShortestAnswerError, match="9 tokens at least, and the context has room for 8"):
        await write(engine, Prompt("x" * 120, raw=True), max_tokens=1024, min_tokens=9)


def test_a_prompt_that_leaves_no_room_is_refused_or_loses_its_oldest_tokens() -> None:
    tokens = list(range(100))

    with pytest.raises(PromptTooLongError, match="100 tokens"):
        fit_to_context(tokens, 100, 8, truncate=False)
    few, many = (fit_to_context(tokens, 100, most, truncate=True) for most in (8, 1000))

    assert (few.tokens, few.max_tokens, few.cut) == (tokens[8:], 8, 8)
    assert (many.tokens, many.max_tokens, many.cut) == (tokens[50:], 50, 50)


@pytest.mark.parametrize("text", ["", "one two three", "a" * 30, " b" * 20, "long-word-without-a-space and some"])
def test_a_text_is_split_into_short_pieces_that_add_up_to_it(text: str) -> None:
    pieces = split_text(text, 8)

    assert "".join(pieces) == text
    assert all(len(piece) <= 8 for piece in pieces)


async def test_a_model_without_a_token_for_padding_may_ignore_its_end() -> None:
    made = model()
    made.generation_config.pad_token_id = made.config.pad_token_id = None
    alone = TransformersGenerator(made, PromptTokenizer(tokenizer(), 128), concurrency=1)

    assert (await write(alone, logit_bias={END: 50.0}, ignore_eos=True)).completion_tokens == 12
