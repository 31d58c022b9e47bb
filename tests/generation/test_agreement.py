"""Both engines write the same text with the same weights, as far as their arithmetic agrees."""

import asyncio
from collections.abc import Iterator

import pytest

from deployments.formats.engines import load_engine
from deployments.generation import Prompt, Sampling, TextGenerator
from deployments.generation.process import ProcessGenerator
from deployments.generation.transformers import TransformersGenerator
from deployments.settings import read_backup_spec, resolve
from tests.generation.conftest import smollm2_tokens

TOKENS = 16
PROMPTS = [
    "Hello",
    "What is the capital of France?",
    "Write a short story about a cat.",
    "Count to ten.",
    "What is two plus two?",
    "Name three colours.",
    "Why is the sky blue?",
    "Give me a recipe for bread.",
    "Who wrote Hamlet?",
    "Translate 'good morning' to Spanish.",
]


@pytest.fixture(scope="module")
def openvino() -> Iterator[TextGenerator]:
    spec = read_backup_spec("configs/backup.yaml").model_copy(update={"engine": "openvino"})
    generator = load_engine(spec, resolve("cache"), "backup").generator
    assert isinstance(generator, ProcessGenerator)
    yield generator
    generator.close()


async def test_greedy_answers_begin_alike(openvino: TextGenerator, smollm2: TransformersGenerator) -> None:
    agreed = []
    for prompt in PROMPTS:
        ours = [
            smollm2_tokens((await engine.generate(Prompt(prompt), Sampling(TOKENS, 0.0, 60.0))).text)
            for engine in (openvino, smollm2)
        ]
        agreed.append(next((n for n, pair in enumerate(zip(*ours, strict=False)) if len(set(pair)) > 1), TOKENS))

    # Weights rounded to 8 bits on one side, float32 on the other: docs/performance.md has what was measured.
    assert sorted(agreed)[2] >= 2, agreed
    assert sum(agreed) / len(agreed) >= TOKENS / 2, agreed


async def test_an_engine_in_full_generation_leaves_the_event_loop_to_health_checks(openvino: TextGenerator) -> None:
    capacity = openvino.describe()["capacity"]
    full = [
        asyncio.ensure_future(openvino.generate(Prompt(PROMPTS[2]), Sampling(64, 0.0, 60.0))) for _ in range(capacity)
    ]
    loop, longest = asyncio.get_running_loop(), 0.0
    while not all(one.done() for one in full):
        before = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - before)
        await asyncio.sleep(0.005)
    written = await asyncio.gather(*full)

    assert {one.finish_reason for one in written} <= {"length", "stop"}
    assert longest < 1.0, "what a health check may take"
