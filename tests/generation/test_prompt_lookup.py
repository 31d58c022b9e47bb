"""With prompt lookup OpenVINO writes what it writes without: whatever is asked, and whoever else asks."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino_genai as genai
import pytest

from deployments.generation import BatchFullError, Generation, Prompt, Sampling
from deployments.generation.grammar import JsonGrammar, Tag, TagGrammar
from deployments.generation.openvino import OpenVINOGenerator
from deployments.generation.openvino_engine import OpenVINOEngine, OpenVINORequest, scheduler_config
from deployments.generation.prompt_lookup import NO_LOOKUP, CacheRoom, PromptLookup
from tests.sources.tiny import gguf

CAPACITY = 8
LOOKUP = PromptLookup(5)
TOKENS = 40
COLOURS = '{"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 2, "maxItems": 4}'
CALL = Tag('<call>{"name":"f","arguments":', '{"type":"object","properties":{"n":{"enum":[1]}},"required":["n"]}', "}")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", for_openvino=True)


@pytest.fixture(scope="module")
def plain(file: Path) -> OpenVINOGenerator:
    # Its keys and values in as many bits: the tiny model's tokens are nearly equally likely, and 8 are not exact.
    return OpenVINOGenerator(file, context=128, capacity=CAPACITY, threads=1, lookup=_SameCache(0))


@pytest.fixture(scope="module")
def looking_up(file: Path) -> OpenVINOGenerator:
    return OpenVINOGenerator(file, context=128, capacity=CAPACITY, threads=1, lookup=LOOKUP)


class _SameCache(PromptLookup):
    """No prompt lookup, but its cache."""

    def properties(self) -> dict[str, Any]:
        return {"KV_CACHE_PRECISION": "f16"}


def prompts(count: int = 12) -> list[Prompt]:
    source = random.Random(5)  # noqa: S311 - not a secret
    return [
        Prompt("", raw=True, tokens=[source.randrange(3, 250) for _ in range(source.randrange(2, 30))])
        for _ in range(count)
    ]


def free(**sampling: Any) -> Sampling:
    return replace(Sampling(TOKENS, 0.0, 60.0, ignore_eos=True), **sampling)


async def all_at_once(generator: OpenVINOGenerator, asked: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
    return await asyncio.gather(*(generator.generate(prompt, sampling) for prompt in asked))


@pytest.mark.parametrize(
    "sampling",
    [
        free(),
        free(max_tokens=1),
        free(temperature=0.7, top_p=0.9, seed=7),
        free(presence_penalty=1.0, frequency_penalty=0.5, repetition_penalty=1.2),
        free(logprobs=0),
        Sampling(80, 0.0, 60.0, grammar=JsonGrammar(COLOURS)),
        Sampling(80, 1.0, 60.0, seed=3, grammar=JsonGrammar(COLOURS)),
        Sampling(80, 0.0, 60.0, grammar=TagGrammar((CALL,), ("<call>",), at_least_one=True, stop_after_first=True)),
    ],
    ids=["greedy", "one token", "sampled", "penalties", "logprobs", "json", "json sampled", "call"],
)
async def test_the_answer_is_the_same_as_without(
    plain: OpenVINOGenerator, looking_up: OpenVINOGenerator, sampling: Sampling
) -> None:
    for prompt in prompts():
        with_it, without = await looking_up.generate(prompt, sampling), await plain.generate(prompt, sampling)

        assert replace(with_it, logprobs=()) == replace(without, logprobs=())
        assert [each.token for each in with_it.logprobs] == [each.token for each in without.logprobs]
        assert [each.logprob for each in with_it.logprobs] == pytest.approx(
            [each.logprob for each in without.logprobs], abs=1e-3
        )


async def test_a_full_batch_gets_the_same_answers_as_without(
    plain: OpenVINOGenerator, looking_up: OpenVINOGenerator
) -> None:
    asked = prompts(CAPACITY)

    assert await all_at_once(looking_up, asked, free()) == await all_at_once(plain, asked, free())


async def test_what_repeats_itself_takes_fewer_steps_than_tokens(looking_up: OpenVINOGenerator) -> None:
    pieces = 0
    async for item in looking_up.stream(prompts()[5], free()):
        pieces += isinstance(item, str)

    assert 0 < pieces < TOKENS


async def test_no_answer_is_longer_than_asked(looking_up: OpenVINOGenerator) -> None:
    longest = range(11, 11 + CAPACITY)

    answers = await asyncio.gather(
        *(looking_up.generate(prompts()[8], free(min_tokens=3, max_tokens=most)) for most in longest)
    )

    assert [answer.completion_tokens for answer in answers] == list(longest)
    assert {answer.finish_reason for answer in answers} == {"length"}


async def test_an_end_that_comes_too_early_is_not_written(
    plain: OpenVINOGenerator, looking_up: OpenVINOGenerator
) -> None:
    wild = Sampling(14, 8.0, 60.0, seed=24)
    ended = [prompt for prompt in prompts() if (await plain.generate(prompt, wild)).finish_reason == "stop"]

    answers = [await looking_up.generate(prompt, replace(wild, min_tokens=12)) for prompt in ended]

    assert len(answers) > 2
    assert all(12 <= answer.completion_tokens <= 14 for answer in answers)


async def test_callers_who_go_away_change_nothing_for_the_others(looking_up: OpenVINOGenerator) -> None:
    asked = prompts(CAPACITY)
    alone = [await looking_up.generate(prompt, free()) for prompt in asked]

    async def give_up(prompt: Prompt) -> None:
        stream = looking_up.stream(prompt, free())
        await anext(stream)
        await stream.aclose()

    for prompt in asked[:4]:
        *_, left = await asyncio.gather(give_up(prompt), all_at_once(looking_up, asked[4:], free()))
        assert left == alone[4:]


def test_a_request_that_a_small_cache_may_have_no_room_for_is_refused_and_the_others_are_answered(file: Path) -> None:
    config = scheduler_config(CAPACITY, LOOKUP)
    config.cache_size, config.num_kv_blocks = 0, 8
    engine = OpenVINOEngine(genai.ContinuousBatchingPipeline(str(file), config, "CPU", LOOKUP.properties()), LOOKUP)
    asked = [list(prompt.tokens) for prompt in prompts(CAPACITY)]
    alone = [written(engine, [engine.add(tokens, free())])[0] for tokens in asked]

    joined: dict[int, OpenVINORequest] = {}
    for place, tokens in enumerate(asked):
        with suppress(BatchFullError):
            joined[place] = engine.add(tokens, free())

    assert 1 < len(joined) < CAPACITY
    assert written(engine, list(joined.values())) == [alone[place] for place in joined]


def test_what_a_cancelled_request_held_is_there_for_the_next_one(file: Path) -> None:
    config = scheduler_config(CAPACITY, LOOKUP)
    config.cache_size, config.num_kv_blocks = 0, 8
    engine = OpenVINOEngine(genai.ContinuousBatchingPipeline(str(file), config, "CPU", LOOKUP.properties()), LOOKUP)

    for _ in range(3):
        request = engine.add([5, 6, 7], free(max_tokens=200))
        engine.step()
        request.cancel()
    engine.step()

    assert not request.read()  # its guesses are no text


def written(engine: OpenVINOEngine, requests: list[OpenVINORequest]) -> list[list[int]]:
    texts: list[list[int]] = [[] for _ in requests]
    while not all(request.over for request in requests):
        engine.step()
        for request, text in zip(requests, texts, strict=True):
            text.extend(request.read())
    return texts


def test_what_a_request_may_take_of_the_cache_is_held_until_the_step_that_gives_it_back() -> None:
    over: set[str] = set()
    room = CacheRoom(100)

    room.hold(60, lambda: "a" in over)
    assert room.has(40)
    assert not room.has(41)

    over.add("a")
    assert not room.has(41)
    room.after_step()
    assert room.has(100)


def test_a_step_has_room_for_all_guesses_and_for_prompts() -> None:
    assert PromptLookup(5).most_batched(256, 64) == 256 + 64 * 6
    assert NO_LOOKUP.most_batched(256, 64) == 256
