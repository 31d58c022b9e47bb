"""A model without any wits calls the tool that is demanded, in its family's form: the grammar leaves it no choice."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.formats.huggingface import HuggingFaceModel
from deployments.formats.tool_format import format_of
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.transformers import TransformersGenerator
from deployments.policy.outcome import Answered, Finished, Rejected
from deployments.policy.problem import UNSUPPORTED
from deployments.request.openai import chat_request
from deployments.settings import GenerationDefaults, TextModelSpec, parse
from tests.fakes import read_stream, read_whole
from tests.formats.templates import LLAMA, MISTRAL, QWEN
from tests.request.test_native import LIMITS
from tests.sources import tiny

PARAMETERS = {
    "type": "object",
    "properties": {"at": {"enum": ["sky", "sea"]}, "deep": {"type": "boolean"}},
    "required": ["at", "deep"],
    "additionalProperties": False,
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
WAIT = {"type": "function", "function": {"name": "wait"}}
NAMED = {"type": "function", "function": {"name": "look"}}


def served(template: str) -> HuggingFaceModel:
    """The tiny model, with a chat template of its own."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    generator = TransformersGenerator(tiny.model(), PromptTokenizer(tokenizer, 4096), concurrency=1)
    return HuggingFaceModel(generator, GenerationDefaults(), {}, format_of(template))


def asked(choice: Any, **body: Any) -> Any:
    told = {"messages": [{"role": "user", "content": "Hi"}], "tools": [LOOK, WAIT], "tool_choice": choice, **body}
    return chat_request(json.dumps(told).encode(), LIMITS).requests[0]


@pytest.mark.parametrize(
    "template", [QWEN, LLAMA, MISTRAL, tiny.TEMPLATE], ids=["qwen", "llama", "mistral", "in words"]
)
async def test_a_call_that_is_demanded_is_written_by_any_model_in_the_form_of_its_family(template: str) -> None:
    model = served(template)

    named = await read_whole(model, asked(NAMED), 60.0)
    *texts, required = await read_stream(model, asked("required", parallel_tool_calls=False, temperature=2, seed=3))

    assert isinstance(named, Answered)
    assert isinstance(required, Finished)
    assert named.finish_reason == required.finish_reason == "tool_calls"
    (call,) = named.tool_calls
    arguments = json.loads(call["function"]["arguments"])
    assert call["function"]["name"] == "look"
    assert arguments["at"] in {"sky", "sea"}
    assert isinstance(arguments["deep"], bool)
    (other,) = required.tool_calls
    assert other["function"]["name"] in {"look", "wait"}
    assert not any(texts)


async def test_what_is_offered_to_a_model_is_read_by_it() -> None:
    model = served(QWEN)
    with_tools = await read_whole(model, asked(NAMED), 60.0)
    without = await read_whole(model, asked("none", max_tokens=2, temperature=0), 60.0)

    assert isinstance(with_tools, Answered)
    assert isinstance(without, Answered)
    assert with_tools.usage
    assert without.usage
    assert with_tools.usage.prompt_tokens > without.usage.prompt_tokens + len(json.dumps(PARAMETERS))


@pytest.mark.parametrize(("settings", "told"), [({}, "hermes, in words"), ({"tools": False}, "none")])
async def test_a_spec_says_whether_its_model_is_offered_tools(
    settings: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    tiny.folder(tmp_path / "tiny")
    sources = [{"kind": "path", "path": str(tmp_path / "tiny")}]
    spec = parse(TextModelSpec, {"sources": sources, "device": "cpu", "engine": "transformers", **settings}, "test")

    model = HuggingFaceModel.load(spec, tmp_path / "cache", "m")

    assert model.describe()["tools"] == told
    unoffered = Rejected("it is not offered tools (tools: false)", "tools", UNSUPPORTED, elsewhere=True)
    assert (await model.start(asked(NAMED), 5.0) == unoffered) is bool(settings)
