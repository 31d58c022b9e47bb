"""What OpenVINO writes is held to a grammar, and no schema of a caller ends the others in its batch."""

import asyncio
import json
import random
import re

import pytest

from deployments.generation import Prompt, Sampling
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar, Tag, TagGrammar
from deployments.generation.openvino import OpenVINOGenerator
from deployments.generation.openvino_grammar import SuspectGrammars
from tests.generation.schemas import some_schema
from tests.sources.tiny import gguf

HELLO = Prompt("Hello")
FREE = Sampling(24, 0.0, 60.0)
COLOUR = JsonGrammar('{"enum": ["red", "blue"]}')
TAG = Tag('<call>{"name":"f","arguments":', '{"type":"object","properties":{"n":{"enum":[1]}},"required":["n"]}', "}")


@pytest.fixture(scope="module")
def tiny_openvino(tmp_path_factory: pytest.TempPathFactory) -> OpenVINOGenerator:
    file = gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", for_openvino=True)
    made = OpenVINOGenerator(file, context=128, capacity=4, threads=1)
    made.warm_up(HELLO, Sampling(2, 0.0, 60.0))
    return made


def held(grammar: Grammar) -> Sampling:
    return Sampling(60, 0.0, 60.0, grammar=grammar)


async def test_a_model_that_writes_nonsense_writes_json_that_fits(tiny_openvino: OpenVINOGenerator) -> None:
    generation = await tiny_openvino.generate(HELLO, held(COLOUR))

    assert json.loads(generation.text) in ("red", "blue")
    assert generation.finish_reason == "stop"


async def test_a_call_that_is_demanded_is_written_first_and_alone(tiny_openvino: OpenVINOGenerator) -> None:
    grammar = TagGrammar((TAG,), ("<call>",), at_least_one=True, stop_after_first=True)

    text = (await tiny_openvino.generate(HELLO, held(grammar))).text

    assert text.startswith(TAG.begin)
    assert json.loads(text.removeprefix("<call>"))["arguments"] == {"n": 1}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("[", "no JSON"),
        ("false", "no text fits"),
        ('{"enum": []}', "no text fits"),
        ('{"type": "integer", "minimum": 5, "maximum": 1}', "no text fits"),
        ('{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}', "without end"),
        ('{"$ref": "https://example.com/s"}', r"\$ref"),
        ('{"type": "text"}', "type: 'text'"),
        ('{"properties": {"a\\nb": {}}, "required": ["a\\nb"]}', "name"),
        (json.dumps({"enum": ["x" * 20_000]}), "too large"),
        ('{"properties": 5}', "no JSON Schema"),
    ],
)
async def test_a_schema_that_cannot_be_compiled_is_named_and_its_neighbours_write_on(
    tiny_openvino: OpenVINOGenerator, schema: str, why: str
) -> None:
    alone = await tiny_openvino.generate(HELLO, FREE)

    neighbour, refused = await asyncio.gather(
        tiny_openvino.generate(HELLO, FREE),
        tiny_openvino.generate(HELLO, held(JsonGrammar(schema))),
        return_exceptions=True,
    )

    assert neighbour == alone
    assert isinstance(refused, GrammarError)
    assert re.search(why, str(refused))


async def test_json_that_another_model_has_begun_is_not_continued(tiny_openvino: OpenVINOGenerator) -> None:
    with pytest.raises(GrammarError, match="cannot continue"):
        await tiny_openvino.generate(Prompt("Hello", prefix='"re'), held(COLOUR))


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_schema_is_let_through_is_compiled(tiny_openvino: OpenVINOGenerator, seed: int) -> None:
    """A hundred random schemas, with odd names, patterns, lengths, references and contradictions in them."""
    source, compiled = random.Random(seed), 0  # noqa: S311 - not a secret
    for _ in range(100):
        schema = {**some_schema(source), "$defs": {"a": some_schema(source, 2), "b": some_schema(source, 2)}}
        sampling = Sampling(6, 0.0, 60.0, grammar=JsonGrammar(json.dumps(schema)))
        try:
            await tiny_openvino.generate(HELLO, sampling)
        except GrammarError:
            continue
        compiled += 1

    assert compiled > 50


def test_a_grammar_that_a_step_has_failed_with_is_refused_from_then_on() -> None:
    suspects, begun = SuspectGrammars(), JsonGrammar('{"const": 1}')
    suspects.watch(COLOUR, lambda: False)
    suspects.watch(begun, lambda: True)
    suspects.step_failed()

    suspects.check(begun)
    with pytest.raises(GrammarError, match="failed to compile"):
        suspects.check(COLOUR)
