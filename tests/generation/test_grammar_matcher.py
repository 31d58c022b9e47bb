"""What transformers writes is held to a grammar: in the batch, alone, and where a text goes on."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.generation import Prompt, Sampling, TextGenerator
from deployments.generation.continuous import ContinuousGenerator
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar, JsonOrTagsGrammar, Tag, TagGrammar
from deployments.generation.grammar_matcher import KEPT, GrammarCompiler
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.transformers import TransformersGenerator
from tests.sources.tiny import model, tokenizer

HELLO = Prompt("Hello")
COLOUR = {"type": "object", "properties": {"c": {"enum": ["red", "blue"]}}, "required": ["c"]}
COLOUR_JSON = JsonGrammar(json.dumps(COLOUR | {"additionalProperties": False}))
CALL = Tag('<call>{"name":"f","arguments":', '{"type":"object","properties":{"n":{"enum":[1]}},"required":["n"]}', "}")
VOCABULARY = 261


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, TextGenerator]]:
    made = model()
    made.generation_config.repetition_penalty = 1.0
    prompts = PromptTokenizer(tokenizer(), 128)
    alone = TransformersGenerator(made, prompts, concurrency=2)
    batched = ContinuousGenerator(made, prompts, alone, capacity=3)
    batched.warm_up(HELLO, Sampling(2, 0.0, 60.0))
    yield {"alone": alone, "batched": batched}
    batched.close()


@pytest.fixture
def compiler() -> GrammarCompiler:
    made = tokenizer()
    return GrammarCompiler(made, VOCABULARY, [made.eos_token_id])


def held(grammar: Grammar, **more: Any) -> Sampling:
    return Sampling(40, more.pop("temperature", 0.0), 60.0, grammar=grammar, **more)


def accepts(compiler: GrammarCompiler, grammar: Grammar, text: str) -> bool:
    """Whether `text` may be written, and may then end."""
    made = tokenizer()
    matcher = compiler.matcher(grammar)
    ids = made(text)["input_ids"]
    for place, token in enumerate(ids):
        if not matcher.allowed()[token]:
            return False
        matcher.advance(ids[: place + 1])
    return bool(matcher.allowed()[made.eos_token_id])


def test_a_grammar_that_was_refused_is_not_compiled_again(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, compile_it = [], compiler._compile

    def count(grammar: Grammar, *, spaced: bool) -> Any:
        compiled.append(grammar)
        return compile_it(grammar, spaced=spaced)

    monkeypatch.setattr(compiler, "_compile", count)
    for _ in range(3):
        with pytest.raises(GrammarError):
            compiler.matcher(JsonGrammar('{"type": "no such"}'))

    assert len(compiled) == 1


@pytest.mark.parametrize("where", ["alone", "batched"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_a_model_that_writes_nonsense_writes_json_that_fits(
    engines: dict[str, TextGenerator], where: str, temperature: float
) -> None:
    generation = await engines[where].generate(HELLO, held(COLOUR_JSON, temperature=temperature, seed=3))

    assert json.loads(generation.text)["c"] in ("red", "blue")
    assert " " not in generation.text
    assert generation.finish_reason == "stop"


async def test_a_request_with_a_grammar_leaves_the_others_in_the_batch_alone(engines: dict[str, TextGenerator]) -> None:
    free = Sampling(16, 0.0, 60.0)
    alone = await engines["batched"].generate(HELLO, free)

    together = await asyncio.gather(
        engines["batched"].generate(HELLO, held(COLOUR_JSON)), engines["batched"].generate(HELLO, free)
    )

    assert json.loads(together[0].text)["c"] in ("red", "blue")
    assert together[1] == alone


@pytest.mark.parametrize("where", ["alone", "batched"])
async def test_a_text_that_another_model_has_begun_stays_within_the_grammar(
    engines: dict[str, TextGenerator], where: str
) -> None:
    begun = '{ "c": "bl'

    rest = await engines[where].generate(Prompt("Hello", prefix=begun), held(COLOUR_JSON))

    assert json.loads(begun + rest.text) == {"c": "blue"}


@pytest.mark.parametrize("where", ["alone", "batched"])
@pytest.mark.parametrize(
    ("grammar", "prefix", "why"),
    [
        (JsonGrammar('{"type":"integer","minimum":5,"maximum":1}'), "", "nsatisfiable"),
        (JsonGrammar('{"type":"string","pattern":"(?=a)b"}'), "", "look-around"),
        (JsonGrammar("["), "", "no JSON"),
        (COLOUR_JSON, '{"c": "green', "does not fit"),
    ],
)
async def test_a_form_that_cannot_be_held_is_named_before_anything_is_written(
    engines: dict[str, TextGenerator], where: str, grammar: Grammar, prefix: str, why: str
) -> None:
    with pytest.raises(GrammarError, match=why):
        await engines[where].generate(Prompt("Hello", prefix=prefix), held(grammar))


@pytest.mark.parametrize(
    ("at_least_one", "stop_after_first", "text", "fits"),
    [
        (False, False, "Hi <b> there", True),
        (False, False, 'Hi <call>{"name":"f","arguments":{"n":1}} and on', True),
        (False, False, "Hi <call>{nonsense", False),
        (True, False, "Hi", False),
        (True, False, '<call>{"name":"f","arguments":{"n":1}}<call>{"name":"f","arguments":{"n":1}}', True),
        (False, True, 'Hi <call>{"name":"f","arguments":{"n":1}} and on', False),
        (True, True, '<call>{"name":"f","arguments":{"n":1}}', True),
        (True, True, '<call>{"name":"f","arguments":{"n":2}}', False),
    ],
)
def test_a_trigger_in_free_text_is_continued_as_one_of_the_tags(
    compiler: GrammarCompiler, *, at_least_one: bool, stop_after_first: bool, text: str, fits: bool
) -> None:
    schema = json.dumps(json.loads(CALL.schema) | {"additionalProperties": False})
    tag = Tag(CALL.begin, schema, CALL.end)

    assert accepts(compiler, TagGrammar((tag,), ("<call>",), at_least_one, stop_after_first), text) is fits


def test_compiled_grammars_are_kept_within_a_number(compiler: GrammarCompiler) -> None:
    for number in range(KEPT + 3):
        compiler.matcher(JsonGrammar(json.dumps({"const": number})))

    assert len(compiler._kept) == KEPT


def test_where_json_or_calls_are_demanded_nothing_else_is_written(compiler: GrammarCompiler) -> None:
    several = JsonOrTagsGrammar(COLOUR_JSON, (CALL,), one_tag=False)
    one = JsonOrTagsGrammar(COLOUR_JSON, (CALL,), one_tag=True)
    call = f'{CALL.begin}{{"n":1}}{CALL.end}'

    assert accepts(compiler, several, '{"c":"red"}')
    assert accepts(compiler, several, call)
    assert accepts(compiler, several, f"{call}\n{call}")
    assert accepts(compiler, one, call)
    for text in ("", "red", f'{{"c":"red"}}{call}', f"So: {call}", '{"n":1}'):
        assert not accepts(compiler, several, text), text
    assert not accepts(compiler, one, f"{call}\n{call}")
