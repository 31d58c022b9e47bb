"""A language model is offered the tools of a request, and what it writes is an answer in OpenAI's form."""

import json
from itertools import count
from typing import Any

import orjson
import pytest

from deployments.execution.pulse import Pulse
from deployments.formats.calling import CalledModel
from deployments.formats.huggingface import HuggingFaceModel
from deployments.formats.python import PythonModel
from deployments.formats.tool_format import IN_WORDS
from deployments.generation.grammar import GrammarError, JsonOrTagsGrammar, TagGrammar
from deployments.policy.outcome import Answered, Failed, Finished, Rejected, Usage
from deployments.request import InferenceRequest
from deployments.request.openai import chat_request
from deployments.settings import GenerationDefaults
from tests.fakes import read_stream, read_whole
from tests.formats.test_huggingface import ScriptedGenerator
from tests.request.test_native import LIMITS

PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
LOOK = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
ADD = {"type": "function", "function": {"name": "add"}}
NAMED = {"type": "function", "function": {"name": "look"}}
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "%s"}}\n</tool_call>'


def asked(**body: Any) -> InferenceRequest:
    told = {"messages": [{"role": "user", "content": "Hi"}], "tools": [LOOK, ADD], **body}
    return chat_request(orjson.dumps(told), LIMITS, headers={}).requests[0]


def served(generator: ScriptedGenerator) -> HuggingFaceModel:
    return HuggingFaceModel(generator, GenerationDefaults(), {}, IN_WORDS)


def called(end: Any) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in end.tool_calls]


async def test_a_call_is_an_answer_with_its_counts_and_without_anything_of_its_form() -> None:
    answer = await read_whole(served(ScriptedGenerator(CALL % "sky")), asked())

    assert isinstance(answer, Answered)
    assert called(answer) == [("look", {"at": "sky"})]
    assert (answer.result, answer.finish_reason) == ({"tool_calls": list(answer.tool_calls)}, "tool_calls")
    assert answer.usage == Usage(3, 1)


async def test_a_stream_has_the_text_before_a_call_and_the_call_whole_at_its_end() -> None:
    written = " I look. " + CALL % "sky" + "\n" + CALL % "sea"
    *texts, end = await read_stream(served(ScriptedGenerator(*written)), asked())

    assert "".join(map(str, texts)) == "I look. "
    assert isinstance(end, Finished)
    assert (called(end), end.finish_reason) == ([("look", {"at": "sky"}), ("look", {"at": "sea"})], "tool_calls")
    first, second = end.tool_calls
    assert first["id"] != second["id"]


async def test_while_a_call_is_written_each_piece_is_a_sign_of_life() -> None:
    written, ticks = CALL % "sky", count()
    pulse = Pulse(lambda: float(next(ticks)))
    pulse.attach()

    await served(ScriptedGenerator(*written)).start(asked(stream=True), 5.0)

    assert pulse.at >= len(written)


@pytest.mark.parametrize(
    ("body", "names", "at_least_one", "stops"),
    [
        ({}, ["look", "add"], False, False),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, ["look", "add"], False, True),
        ({"tool_choice": "required"}, ["look", "add"], True, True),
        ({"tool_choice": "required", "parallel_tool_calls": True}, ["look", "add"], True, False),
        ({"tool_choice": NAMED}, ["look"], True, True),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}},
         ["look"], True, True),
    ],
)  # fmt: skip
async def test_a_call_is_held_to_the_tools_and_to_what_is_demanded(
    body: dict[str, Any], names: list[str], *, at_least_one: bool, stops: bool
) -> None:
    generator = ScriptedGenerator(CALL % "sky")
    await read_whole(served(generator), asked(**body))

    grammar = generator.asked[0][1].grammar
    assert isinstance(grammar, TagGrammar)
    assert [tag.begin for tag in grammar.tags] == [f'<tool_call>\n{{"name": "{name}", "arguments": ' for name in names]
    assert json.loads(grammar.tags[0].schema) == PARAMETERS
    assert grammar.triggers == ("<tool_call>",)
    assert (grammar.at_least_one, grammar.stop_after_first) == (at_least_one, stops)


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        (None, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "object", "properties": {"a": {"$ref": "http://elsewhere"}}}, {"type": "object"}),
    ],
)
async def test_arguments_are_held_to_an_object_whatever_a_tool_says_of_its_parameters(
    parameters: Any, schema: dict[str, Any]
) -> None:
    generator = ScriptedGenerator("Hi")
    await read_whole(
        served(generator), asked(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    )

    grammar = generator.asked[0][1].grammar
    assert isinstance(grammar, TagGrammar)
    assert json.loads(grammar.tags[0].schema) == schema


async def test_where_tools_are_forbidden_nothing_is_held_to_a_call_or_read_as_one() -> None:
    generator = ScriptedGenerator("Text.")

    assert await read_whole(served(generator), asked(tool_choice="none")) == Answered("Text.", Usage(3, 1))
    prompt, sampling = generator.asked[0]
    assert (sampling.grammar, len(prompt.messages)) == (None, 1)


@pytest.mark.parametrize("body", [{"parallel_tool_calls": False}, {"tool_choice": NAMED}])
async def test_of_several_calls_where_one_may_come_the_first_counts(body: dict[str, Any]) -> None:
    answer = await read_whole(served(ScriptedGenerator(CALL % "sky" + CALL % "sea")), asked(**body))

    assert called(answer) == [("look", {"at": "sky"})]


@pytest.mark.parametrize(
    ("written", "finish_reason", "reason", "cut"),
    [
        ('<tool_call>{"name": "look"', "length", "not whole", True),
        ('<tool_call>{"name": "run", "arguments": {}}', "stop", "'run', which is none of the tools", False),
        ('<tool_call>{"name": "look", "arguments": {}}', "stop", "does not fit the tool's parameters", False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_the_caller_could_not_use_is_a_misfit(
    written: str, finish_reason: str, reason: str, *, cut: bool, stream: bool
) -> None:
    model = served(ScriptedGenerator(written, finish_reason=finish_reason))
    end = (await read_stream(model, asked()))[-1] if stream else await read_whole(model, asked())

    assert isinstance(end, Failed)
    assert reason in end.reason
    assert (end.misfit, end.cut) == (True, cut)


class Unholding(ScriptedGenerator):
    """Cannot hold a text to any grammar."""

    async def generate(self, prompt: Any, sampling: Any) -> Any:
        if sampling.grammar:
            raise GrammarError("not: is not supported")
        return await super().generate(prompt, sampling)


async def test_what_an_engine_cannot_hold_leaves_a_demanded_call_to_another_model_and_any_other_to_the_check() -> None:
    generator = Unholding(CALL % "sky")

    demanded = await read_whole(served(generator), asked(tool_choice="required"))
    assert demanded == Rejected("not: is not supported", "tools", elsewhere=True)
    assert generator.asked == []
    assert called(await read_whole(served(generator), asked())) == [("look", {"at": "sky"})]


class Picky(ScriptedGenerator):
    """Cannot hold a text to the arguments of the tool."""

    async def generate(self, prompt: Any, sampling: Any) -> Any:
        if "at" in sampling.grammar.tags[0].schema:
            raise GrammarError("not: is not supported")
        return await super().generate(prompt, sampling)


@pytest.mark.parametrize("written", [CALL % "sky", '{"a": 1}'])
async def test_json_that_is_demanded_beside_tools_is_forced_and_so_is_a_call_in_its_place(written: str) -> None:
    generator = ScriptedGenerator(written)
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    await read_whole(served(generator), asked(response_format=form))
    await read_whole(served(picky := Picky(written)), asked(response_format=form))
    demanded = ScriptedGenerator(CALL % "sky")
    await read_whole(served(demanded), asked(response_format=form, tool_choice="required"))

    grammar = generator.asked[0][1].grammar
    assert isinstance(grammar, JsonOrTagsGrammar)
    assert json.loads(grammar.json.schema) == schema
    assert grammar.tags[0].begin == CALL.partition('{"at"')[0]
    assert picky.asked[0][1].grammar == grammar.relaxed(), "its calls are checked once they are written"
    assert isinstance(demanded.asked[0][1].grammar, TagGrammar)
    await read_whole(served(generator), asked(response_format=form, parallel_tool_calls=True))
    several = generator.asked[1][1].grammar
    assert grammar.one_tag
    assert isinstance(several, JsonOrTagsGrammar)
    assert not several.one_tag


async def test_a_model_that_is_not_offered_tools_is_not_asked_and_says_why() -> None:
    generator = ScriptedGenerator("Hi")
    without = HuggingFaceModel(generator, GenerationDefaults(), {})
    other = CalledModel(lambda _: "Hi", {}, 1)
    own = PythonModel("Own", Own(), 1)

    for stream in (False, True):
        for model in (without, other, own):
            outcome = await model.start(asked(stream=stream), 5.0)
            assert isinstance(outcome, Rejected)
            assert "offered tools" in outcome.reason
            assert (outcome.field, outcome.code, outcome.elsewhere) == ("tools", "unsupported_parameter", True)
    assert generator.asked == []
    assert isinstance(await read_whole(without, asked(tool_choice="none")), Answered)


class Own:
    """A model of its owner's."""

    def infer(self, _: Any) -> str:
        return "Hi"


async def test_a_call_of_a_tool_that_is_no_function_cannot_be_demanded() -> None:
    generator = ScriptedGenerator("Hi")
    request = asked(tools=[{"type": "web_search"}], tool_choice="required")

    rejected = await read_whole(served(generator), request)

    assert isinstance(rejected, Rejected)
    assert (rejected.field, rejected.code) == ("tools", "unsupported_parameter")
    assert isinstance(await read_whole(served(generator), asked(tools=[{"type": "web_search"}])), Answered)
