"""What OpenVINO writes is held to a grammar, and no schema of a caller ends the others in its batch."""

import asyncio
import json
import random
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino_genai as genai
import pytest

from deployments.generation import Prompt, PromptTooLongError, Sampling, openvino_grammar
from deployments.generation.grammar import (
    MAX_CHARACTERS,
    FatalGrammarError,
    Grammar,
    GrammarError,
    JsonGrammar,
    JsonOrTagsGrammar,
    Tag,
    TagGrammar,
)
from deployments.generation.openvino import OpenVINOGenerator
from deployments.generation.openvino_engine import OpenVINOEngine
from deployments.generation.openvino_grammar import SuspectGrammars, WrittenGrammars
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


@pytest.mark.parametrize("one", [True, False])
async def test_where_json_or_calls_are_demanded_one_of_them_is_written_and_nothing_else(
    tiny_openvino: OpenVINOGenerator, *, one: bool
) -> None:
    grammar = JsonOrTagsGrammar(COLOUR, (TAG, replace(TAG, begin='<call>{"name":"g","arguments":')), one)
    drawn = replace(held(grammar), temperature=2.0, max_tokens=100)

    texts = [(await tiny_openvino.generate(HELLO, drawn)).text for _ in range(12)]

    calls = [text for text in texts if text.startswith("<call>")]
    assert {json.loads(text) for text in texts if text not in calls} <= {"red", "blue"}
    assert all(re.match(r'<call>\{"name":"[fg]","arguments":', text) for text in calls)
    assert 0 < len(calls) < len(texts), "both were drawn"
    assert not one or all(text.count("<call>") == 1 for text in calls)


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


async def test_a_new_schema_is_written_beside_the_event_loop_and_a_known_one_at_once(
    tiny_openvino: OpenVINOGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, threads = openvino_grammar._write, []

    def write(grammar: Grammar) -> str | GrammarError:
        threads.append(threading.current_thread())
        return good(grammar)

    monkeypatch.setattr(openvino_grammar, "_write", write)
    new, refused = JsonGrammar('{"enum": ["new"]}'), JsonGrammar('{"type": "no such"}')
    for _ in range(3):
        assert (await tiny_openvino.generate(HELLO, held(new))).text == '"new"'
        with pytest.raises(GrammarError, match="no such"):
            await tiny_openvino.generate(HELLO, held(refused))

    assert len(threads) == 2, "each was written once, the refused one, too"
    assert threading.main_thread() not in threads


def test_what_is_known_of_grammars_has_a_bound_and_a_huge_one_drives_nobody_out() -> None:
    written = WrittenGrammars(most=2, most_characters=100)
    first, second, third = (JsonGrammar(f'{{"enum": ["{name}"]}}') for name in ("a", "b", "c"))
    for grammar in (first, second, first, third):
        written.of(grammar)
    with pytest.raises(GrammarError, match="too large"):
        written.of(JsonGrammar(" " * (MAX_CHARACTERS + 1)))

    assert [written.knows(each) for each in (first, second, third)] == [True, False, True]
    written.of(JsonGrammar('{"enum": ["' + "x" * 80 + '"]}'))
    assert not any(written.knows(each) for each in (first, third))


async def test_a_long_prompt_is_encoded_beside_the_event_loop(
    tiny_openvino: OpenVINOGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, threads = tiny_openvino._encode, []

    def noted(prompt: Prompt) -> list[int]:
        threads.append(threading.current_thread() is threading.main_thread())
        return encode(prompt)

    monkeypatch.setattr(tiny_openvino, "_encode", noted)
    long = Prompt("", ({"role": "user", "content": "word " * 10_000},))
    with pytest.raises(PromptTooLongError):
        await tiny_openvino.generate(long, FREE)
    await tiny_openvino.generate(HELLO, FREE)

    assert threads == [False, True]


async def test_json_that_another_model_has_begun_is_not_continued(tiny_openvino: OpenVINOGenerator) -> None:
    for grammar in (COLOUR, JsonOrTagsGrammar(COLOUR, (TAG,), one_tag=True)):
        with pytest.raises(GrammarError, match="cannot continue"):
            await tiny_openvino.generate(Prompt("Hello", prefix='"re'), held(grammar))


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
    suspects, known = SuspectGrammars(), JsonGrammar('{"const": 1}')
    suspects.watch(1, known)
    suspects.step_went_well()
    suspects.watch(2, COLOUR)
    suspects.step_failed()

    suspects.check(known)
    with pytest.raises(FatalGrammarError, match="failed to compile"):
        suspects.check(COLOUR)


def test_where_no_grammar_is_new_those_are_suspected_whose_text_has_not_begun() -> None:
    suspects, begun = SuspectGrammars(), JsonGrammar('{"const": 1}')
    suspects.watch(1, begun)
    suspects.watch(2, COLOUR)
    suspects.step_went_well()
    suspects.forget(1)
    suspects.step_failed()

    suspects.check(begun)
    with pytest.raises(FatalGrammarError):
        suspects.check(COLOUR)


async def test_a_request_that_leaves_before_its_first_token_is_not_remembered(tmp_path: Path) -> None:
    engine = OpenVINOEngine(_pipeline(tmp_path))
    for _ in range(3):
        request = engine.add([5, 6, 7], held(COLOUR))
        request.cancel()
        engine.step()

    assert engine.suspects.watched == 0


async def test_a_grammar_that_the_engine_fails_with_is_named_to_its_caller_and_fails_nobody_who_comes_later(
    tiny_openvino: OpenVINOGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO raises in every step, until one with nobody in the batch has let the request go."""
    good, fatal = openvino_grammar._write, JsonGrammar('{"enum": ["fatal"]}')
    bad = json.dumps({"type": "structural_tag", "format": {"type": "or", "elements": []}})
    monkeypatch.setattr(openvino_grammar, "_write", lambda each: bad if each == fatal else good(each))

    guilty, neighbour = await asyncio.gather(
        tiny_openvino.generate(HELLO, held(fatal)), tiny_openvino.generate(HELLO, FREE), return_exceptions=True
    )
    later = [await tiny_openvino.generate(HELLO, FREE) for _ in range(2)]

    assert isinstance(guilty, FatalGrammarError)
    assert isinstance(neighbour, RuntimeError)
    assert later[0] == later[1]
    assert tiny_openvino.stalled_s() == 0.0


def _pipeline(folder: Path) -> Any:
    file = gguf(folder / "tiny.gguf", for_openvino=True)
    return genai.ContinuousBatchingPipeline(str(file), genai.SchedulerConfig(), "CPU", {})
