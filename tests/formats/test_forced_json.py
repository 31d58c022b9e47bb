"""A JSON text is forced by the engine's grammar, where one is demanded."""

import json
from typing import Any

import pytest

from deployments.formats.huggingface import HuggingFaceModel
from deployments.generation.grammar import GrammarError, JsonGrammar
from deployments.policy.outcome import Answered, Rejected
from deployments.request import InferenceRequest
from deployments.request.openai import chat_request
from deployments.settings import GenerationDefaults
from tests.formats.test_huggingface import ScriptedGenerator
from tests.request.test_native import LIMITS

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}


def asking(**body: Any) -> InferenceRequest:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Who?"}], **body}
    return chat_request(json.dumps(chat).encode(), LIMITS).requests[0]


def served(generator: ScriptedGenerator) -> HuggingFaceModel:
    return HuggingFaceModel(generator, GenerationDefaults(), {})


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [(AS_SCHEMA, PERSON), ({"type": "json_object"}, {"type": "object"}), ({"type": "text"}, None)],
)
async def test_the_text_is_held_to_the_schema_that_the_request_demands(response_format: Any, schema: Any) -> None:
    generator = ScriptedGenerator('{"name":"Bob"}')

    answered = await served(generator).start(asking(response_format=response_format), 5.0)

    assert isinstance(answered, Answered)
    grammar = generator.asked[0][1].grammar
    assert (json.loads(grammar.schema) if isinstance(grammar, JsonGrammar) else grammar) == schema


@pytest.mark.parametrize("stream", [False, True])
async def test_a_form_that_the_engine_cannot_hold_is_left_to_another_model_and_else_the_callers_fault(
    *, stream: bool
) -> None:
    generator = ScriptedGenerator(error=GrammarError("pattern: look-around is not supported"))

    outcome = await served(generator).start(asking(response_format=AS_SCHEMA, stream=stream), 5.0)

    assert outcome == Rejected("pattern: look-around is not supported", "response_format", elsewhere=True)


async def test_a_form_ends_where_it_ends_whatever_length_is_asked_for() -> None:
    generator = ScriptedGenerator('{"name":"Bob"}')

    await served(generator).start(asking(response_format=AS_SCHEMA, min_tokens=50, ignore_eos=True, max_tokens=60), 5.0)
    await served(generator).start(asking(min_tokens=50, ignore_eos=True, max_tokens=60), 5.0)

    assert [(asked.min_tokens, asked.ignore_eos) for _, asked in generator.asked] == [(0, False), (50, True)]
