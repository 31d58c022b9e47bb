"""A streamed generation has the text of a complete one, stops when its reader leaves, and has its own sampling."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from deployments.generation import BatchFullError, Generation, Prompt, Sampling
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.transformers import WAITING, TransformersGenerator
from tests.clock import WAIT_S, FakeClock
from tests.generation.test_stalls import Gate
from tests.sources.tiny import model, tokenizer

FRANCE = Prompt("", ({"role": "user", "content": "What is the capital of France? Answer in one sentence."},))
HELLO = Prompt("Hello")


def greedy(max_tokens: int = 24, **more: Any) -> Sampling:
    return Sampling(max_tokens=max_tokens, temperature=0.0, budget_s=60.0, **more)


async def streamed(model: TransformersGenerator, prompt: Prompt, sampling: Sampling) -> tuple[list[str], Generation]:
    async with aclosing(model.stream(prompt, sampling)) as items:
        *texts, last = [item async for item in items]
    assert isinstance(last, Generation)
    return [str(text) for text in texts], last


async def test_a_stream_gives_the_same_text_as_it_is_written(smollm2: TransformersGenerator) -> None:
    texts, last = await streamed(smollm2, FRANCE, greedy())
    whole = await smollm2.generate(FRANCE, greedy())

    assert "".join(texts) == last.text == whole.text
    assert (last.completion_tokens, last.finish_reason) == (whole.completion_tokens, whole.finish_reason)
    assert len(texts) > 3


async def test_a_text_cut_between_two_words_is_continued_as_if_it_had_not_been_cut(
    smollm2: TransformersGenerator,
) -> None:
    whole = (await smollm2.generate(FRANCE, greedy())).text
    words = whole.split(" ")
    for place in range(1, len(words)):
        prefix = " ".join(words[:place])
        for begun in (prefix, prefix + " "):
            prompt = Prompt("", FRANCE.messages, begun)
            rest = (await smollm2.generate(prompt, greedy(24 - place))).text
            assert (begun + rest).startswith(whole[: len(begun) + 8]), begun


async def test_the_tokens_of_a_prefix_count_as_prompt_tokens(tiny: TransformersGenerator) -> None:
    without = await tiny.generate(HELLO, greedy(4))
    with_it = await tiny.generate(Prompt("Hello", (), "Well"), greedy(4))

    assert with_it.prompt_tokens > without.prompt_tokens
    assert with_it.completion_tokens == without.completion_tokens == 4


async def test_a_stop_text_ends_a_generation_and_is_not_in_it(smollm2: TransformersGenerator) -> None:
    whole = (await smollm2.generate(FRANCE, greedy())).text
    stop = whole.split(" ")[3]

    texts, last = await streamed(smollm2, FRANCE, greedy(stop=(stop,)))

    assert "".join(texts) == whole[: whole.index(stop)]
    assert (last.finish_reason, last.stopped_at) == ("stop", stop)


async def test_a_reader_that_closes_the_stream_stops_the_work(tiny: TransformersGenerator) -> None:
    async with aclosing(tiny.stream(HELLO, greedy(100))) as items:
        await anext(items)

    for _ in range(100):
        if tiny.describe()["active"] == 0:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it is still generating")


def sampled(seed: int | None, **more: Any) -> Sampling:
    return Sampling(max_tokens=16, temperature=1.0, budget_s=60.0, seed=seed, **more)


async def test_a_seed_gives_the_same_text_whatever_is_generated_at_the_same_time(tiny: TransformersGenerator) -> None:
    alone = await tiny.generate(HELLO, sampled(7))
    together = await asyncio.gather(*(tiny.generate(HELLO, sampled(seed)) for seed in (7, 8, None, 7)))

    assert together[0].text == together[3].text == alone.text
    assert together[1].text != alone.text


async def test_without_a_seed_two_generations_differ(tiny: TransformersGenerator) -> None:
    assert (await tiny.generate(HELLO, sampled(None))).text != (await tiny.generate(HELLO, sampled(None))).text


async def test_a_tiny_top_p_always_takes_the_likeliest_token(tiny: TransformersGenerator) -> None:
    narrow = await tiny.generate(HELLO, sampled(3, top_p=1e-6))

    assert narrow.text == (await tiny.generate(HELLO, greedy(16))).text


async def test_a_biased_token_is_forced_or_forbidden(tiny: TransformersGenerator) -> None:
    token = tokenizer()("a")["input_ids"][0]

    forced = await tiny.generate(HELLO, greedy(5, logit_bias={token: 100.0, 10**6: 5.0}))

    assert forced.text == "aaaaa"
    assert "a" not in (await tiny.generate(HELLO, greedy(16, logit_bias={token: -100.0}))).text


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
async def test_a_penalty_makes_a_model_repeat_itself_less(tiny: TransformersGenerator, penalty: str) -> None:
    token = tokenizer()("a")["input_ids"][0]
    for bias in range(1, 100):  # the least that makes it say "a" again and again
        biased = {"logit_bias": {token: bias / 2}}
        usual = await tiny.generate(HELLO, greedy(16, **biased))
        if usual.text.count("a") > 2:
            break

    less = await tiny.generate(HELLO, greedy(16, **biased, **{penalty: 2.0}))

    assert 0 < less.text.count("a") < usual.text.count("a")


async def test_the_time_that_a_request_waits_for_a_thread_is_a_part_of_its_budget() -> None:
    made, clock = model(), FakeClock()
    one_at_a_time = TransformersGenerator(made, PromptTokenizer(tokenizer(), 256), concurrency=1, clock=clock)
    gate = Gate(made)
    first = asyncio.ensure_future(one_at_a_time.generate(HELLO, Sampling(2, 0.0, 1e6)))
    assert await asyncio.to_thread(gate.reached.wait, WAIT_S)
    waits = asyncio.ensure_future(one_at_a_time.generate(HELLO, Sampling(2, 0.0, 10.0)))
    await asyncio.sleep(0)
    clock.now = 20.0
    gate.open.set()

    assert (await first).finish_reason == "length"
    assert ((late := await waits).text, late.finish_reason) == ("", "deadline")


async def test_more_requests_than_may_wait_are_refused_and_there_is_room_again_afterwards() -> None:
    one_at_a_time = TransformersGenerator(model(), PromptTokenizer(tokenizer(), 256), concurrency=1)
    requests = [one_at_a_time.generate(Prompt("Hello"), Sampling(2, 0.0, 60.0)) for _ in range(1 + WAITING + 2)]

    outcomes = await asyncio.gather(*requests, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Generation] * (1 + WAITING) + [BatchFullError] * 2
    assert isinstance(await one_at_a_time.generate(Prompt("Hello"), Sampling(2, 0.0, 60.0)), Generation)
