"""Generation with transformers' continuous batching, with a tiny model and with SmolLM2."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
import torch
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus

from deployments.generation import (
    BatchFullError,
    CannotLoadError,
    Generation,
    IncompleteGenerationError,
    Prompt,
    PromptTooLongError,
    Sampling,
)
from deployments.generation.continuous import ContinuousGenerator, batchable
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.transformers import TransformersGenerator
from tests.clock import FakeClock
from tests.sources.tiny import model, tokenizer

CAPACITY = 3
HELLO = Prompt("Hello")


def greedy(max_tokens: int, budget_s: float = 60.0, **more: Any) -> Sampling:
    return Sampling(max_tokens, 0.0, budget_s, **more)


def plain_model() -> Any:
    """A model without a repetition penalty of its own, which the batch would ignore."""
    made = model()
    made.generation_config.repetition_penalty = 1.0
    return made


def pending(generator: ContinuousGenerator) -> bool:
    """Whether transformers holds any request in the batch."""
    processor = generator._manager.batch_processor
    return processor is not None and bool(processor.has_pending_requests())


@pytest.fixture(scope="module")
def alone() -> TransformersGenerator:
    return TransformersGenerator(plain_model(), PromptTokenizer(tokenizer(), 128), concurrency=2)


@pytest.fixture(scope="module")
def batched() -> Iterator[ContinuousGenerator]:
    made = plain_model()
    prompts = PromptTokenizer(tokenizer(), 128)
    generator = ContinuousGenerator(
        made, prompts, TransformersGenerator(made, prompts, concurrency=2), capacity=CAPACITY
    )
    generator.warm_up(HELLO, greedy(2))
    yield generator
    generator.close()


async def test_a_stream_gives_the_same_text_as_it_is_written(batched: ContinuousGenerator) -> None:
    whole = await batched.generate(HELLO, greedy(16))
    *texts, last = [item async for item in batched.stream(HELLO, greedy(16))]

    assert "".join(str(text) for text in texts) == whole.text
    assert len(texts) > 4
    assert last == whole


async def test_a_stop_text_ends_a_generation_and_is_not_in_it(batched: ContinuousGenerator) -> None:
    whole = await batched.generate(HELLO, greedy(24))
    stop = whole.text[6:9]
    stopped = await batched.generate(HELLO, greedy(24, stop=(stop,)))

    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish_reason == "stop"


async def test_a_budget_ends_a_generation_with_the_text_written_so_far(
    batched: ContinuousGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "_clock", clock := FakeClock())
    async with aclosing(batched.stream(HELLO, greedy(100))) as items:
        await anext(items)
        clock.now = 100.0
        *_, generation = [item async for item in items]

    assert isinstance(generation, Generation)
    assert generation.finish_reason == "deadline"
    assert 0 < generation.completion_tokens < 100


async def test_a_budget_ends_even_while_the_batch_writes_nothing(
    batched: ContinuousGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent: asyncio.Queue[Any] = asyncio.Queue()
    silent.put_nowait(GenerationOutput(request_id="r", generated_tokens=[65], status=RequestStatus.DECODING))
    monkeypatch.setattr(batched, "_add", lambda *_: silent)

    generation = await batched.generate(HELLO, greedy(8, budget_s=0.01))

    assert (generation.completion_tokens, generation.finish_reason) == (1, "deadline")


async def test_a_full_batch_refuses_and_has_room_again_once_a_caller_has_gone(batched: ContinuousGenerator) -> None:
    streams = [batched.stream(HELLO, greedy(100)) for _ in range(CAPACITY)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(BatchFullError, match="3 is full"):
        await batched.generate(HELLO, greedy(4))
    await streams[0].aclose()

    assert (await batched.generate(HELLO, greedy(4))).completion_tokens == 4
    for stream in streams[1:]:
        await stream.aclose()
    assert batched.describe()["active"] == 0


async def test_a_request_whose_stream_is_closed_leaves_the_batch(batched: ContinuousGenerator) -> None:
    async with aclosing(batched.stream(HELLO, greedy(110))) as stream:
        await anext(stream)
    for _ in range(200):
        if not pending(batched):
            break
        await batched.generate(HELLO, greedy(1))

    assert not pending(batched)


@pytest.mark.parametrize(
    "more",
    [
        {"presence_penalty": 5.0},
        {"frequency_penalty": 0.5, "temperature": 0.8},
        {"repetition_penalty": 3.0},
        {"logit_bias": {65: 5.0}},
        {"min_tokens": 12, "logit_bias": {256: 50.0}},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_what_was_written_changes_a_text_in_the_batch_as_it_does_alone_and_its_neighbour_in_nothing(
    batched: ContinuousGenerator, alone: TransformersGenerator, more: dict[str, Any]
) -> None:
    sampling = Sampling(24, **{"temperature": 0.0, "budget_s": 60.0, "seed": 7, **more})
    plain = await alone.generate(HELLO, greedy(24))
    both = await asyncio.gather(batched.generate(HELLO, sampling), batched.generate(HELLO, greedy(24)))

    assert batchable(sampling)
    assert both[0] == await alone.generate(HELLO, sampling) != plain
    assert both[1] == plain


async def test_log_probabilities_are_told_outside_the_batch(
    batched: ContinuousGenerator, alone: TransformersGenerator
) -> None:
    sampling = greedy(12, logprobs=2)

    assert not batchable(sampling)
    assert await batched.generate(HELLO, sampling) == await alone.generate(HELLO, sampling)
    items = [item async for item in batched.stream(HELLO, sampling)]
    assert isinstance(items[-1], Generation)


@pytest.mark.parametrize("more", [{}, {"top_p": 0.5}], ids=["all tokens", "a nucleus"])
async def test_a_seed_gives_the_same_text_in_a_batch_as_alone(
    batched: ContinuousGenerator, alone: TransformersGenerator, more: dict[str, Any]
) -> None:
    seeded = [Sampling(12, 0.8, 60.0, seed=seed, **more) for seed in (7, 8)]
    together = await asyncio.gather(*(batched.generate(HELLO, sampling) for sampling in (*seeded, greedy(12))))

    assert together == [await alone.generate(HELLO, sampling) for sampling in (*seeded, greedy(12))]
    assert len({generation.text for generation in together}) > 1


async def test_without_a_seed_two_generations_differ(batched: ContinuousGenerator) -> None:
    sampling = Sampling(16, 1.0, 60.0)

    assert await batched.generate(HELLO, sampling) != await batched.generate(HELLO, sampling)


async def test_a_prompt_that_does_not_fit_is_refused_and_takes_no_room(batched: ContinuousGenerator) -> None:
    with pytest.raises(PromptTooLongError):
        await batched.generate(Prompt("word " * 100), greedy(100))

    assert batched.describe()["active"] == 0


async def test_a_request_that_transformers_ends_before_its_end_is_an_error(
    batched: ContinuousGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_early(tokens: list[int], request_id: str, *_: object, **__: object) -> str:
        output = GenerationOutput(request_id, tokens, generated_tokens=[65], status=RequestStatus.FINISHED)
        batched._manager.output_router.deliver(output)
        return request_id

    monkeypatch.setattr(batched._manager, "add_request", end_early)

    with pytest.raises(IncompleteGenerationError, match="before its end"):
        await batched.generate(HELLO, greedy(4))
    assert batched.describe()["active"] == 0


async def test_a_request_to_a_batch_that_has_ended_is_an_error() -> None:
    made = model()
    prompts = PromptTokenizer(tokenizer(), 128)
    generator = ContinuousGenerator(made, prompts, TransformersGenerator(made, prompts, concurrency=1), capacity=1)
    generator.warm_up(HELLO, greedy(2))
    generator.close()

    with pytest.raises(RuntimeError, match="has ended"):
        await generator.generate(HELLO, greedy(4))


def test_a_model_that_cannot_be_batched_says_so_when_it_is_loaded() -> None:
    made = model()
    made.init_continuous_batching = _refuses
    prompts = PromptTokenizer(tokenizer(), 128)

    with pytest.raises(CannotLoadError, match="no paged attention"):
        ContinuousGenerator(made, prompts, TransformersGenerator(made, prompts, concurrency=1), capacity=1)


async def test_smollm2_writes_the_same_in_a_batch(smollm2: TransformersGenerator) -> None:
    prompts = [Prompt("What is the capital of France?"), Prompt("Name three colours."), Prompt("Hello!")]
    expected = [await smollm2.generate(prompt, greedy(48)) for prompt in prompts]
    batched = ContinuousGenerator(smollm2.model, smollm2.tokenizer, smollm2, capacity=4)
    try:
        written = await asyncio.gather(*(batched.generate(prompt, greedy(48)) for prompt in prompts))
    finally:
        batched.close()
        torch.set_num_threads(2)

    assert [generation.text for generation in written] == [generation.text for generation in expected]


def _refuses(**_: Any) -> None:
    raise ValueError("no paged attention")
