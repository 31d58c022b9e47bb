"""Tools, their calls and their results reach the model: in its template's own form, or in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from deployments.formats.prompting import prompt_of
from deployments.formats.tool_format import format_of
from deployments.generation import Prompt, UnsupportedTurnsError
from deployments.generation.prompts import PromptTokenizer
from deployments.request import InferenceRequest
from deployments.request.openai import chat_request
from tests.formats.templates import LLAMA, MISTRAL, QWEN
from tests.request.test_native import LIMITS
from tests.sources import tiny

PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
LOOK = {"type": "function", "function": {"name": "look", "description": "See.", "parameters": PARAMETERS}}
ADD = {"type": "function", "function": {"name": "add"}}
HI: dict[str, Any] = {"role": "user", "content": "Hi"}


def call(name: str, arguments: str, key: str = "call_1") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content: str, key: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": key, "content": content}


SEVERAL: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be kind."},
    HI,
    {"role": "assistant", "content": None, "tool_calls": [call("look", '{"at": "é"}')]},
    result("blue"),
    {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
]


def asked(messages: Sequence[Mapping[str, Any]], **body: Any) -> InferenceRequest:
    return chat_request(orjson.dumps({"messages": messages, **body}), LIMITS, headers={}).requests[0]


def shown(template: str, prompt: Prompt) -> str:
    """The text that transformers makes of a prompt with `template`."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    tokens = PromptTokenizer(tokenizer, 1 << 20).encode(prompt, 1).tokens
    return str(tokenizer.decode(tokens))


@pytest.mark.parametrize(
    ("template", "called", "answered"),
    [
        (QWEN, '<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call>', "<tool_response>\nblue\n"),
        (LLAMA, '<|assistant|>{"name": "look", "parameters": {"at": "é"}}<|eot_id|>', '<|ipython|>"blue"<|eot_id|>'),
        (MISTRAL, '[TOOL_CALLS] [{"name": "look", "arguments": {"at": "é"}, "id": "', '{"content": blue, "call_id": "'),
    ],
)
def test_a_template_that_shows_tools_gets_them_and_the_turns_in_its_own_form(
    template: str, called: str, answered: str
) -> None:
    form = format_of(template)
    offered = shown(template, prompt_of(asked(SEVERAL, tools=[LOOK]), form))
    forbidden = shown(template, prompt_of(asked(SEVERAL, tools=[LOOK], tool_choice="none"), form))

    for text in (offered, forbidden):
        assert called in text
        assert answered in text
        assert "Be kind." in text
    assert '"required"' in offered
    assert '"required"' not in forbidden


def test_a_template_that_shows_none_has_them_explained_in_its_system_turn() -> None:
    prompt = prompt_of(asked(SEVERAL, tools=[LOOK, ADD]), format_of(tiny.TEMPLATE))

    assert prompt.tools == ()
    assert [turn["role"] for turn in prompt.messages] == ["system", "user", "assistant", "user"]
    system, _, called, answered = (turn["content"] for turn in prompt.messages)
    assert system.startswith("Be kind.\n\n# Tools")
    for written in (orjson.dumps(LOOK), orjson.dumps(ADD)):
        assert any(orjson.dumps(orjson.loads(line)) == written for line in system.splitlines() if line[:2] == '{"')
    assert called == '<tool_call>\n{"name": "look", "arguments": {"at": "é"}}\n</tool_call>'
    assert answered == "<tool_response>\nblue\n</tool_response>\nSure?"


def test_results_in_a_row_are_one_turn_in_words_and_two_with_the_ids_of_their_calls_in_a_template() -> None:
    calls = [call("look", '{"at": "a"}', "one"), call("add", "", "two")]
    messages = [
        HI,
        {"role": "assistant", "content": "Well.", "tool_calls": calls},
        result("A", "one"),
        result("B", "two"),
    ]
    request = asked(messages, tools=[LOOK, ADD])

    in_words = prompt_of(request, format_of("")).messages
    by_template = prompt_of(request, format_of(MISTRAL)).messages

    assert in_words[-1] == {
        "role": "user",
        "content": "<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>",
    }
    assert in_words[-2]["content"].startswith(
        'Well.\n<tool_call>\n{"name": "look", "arguments": {"at": "a"}}\n</tool_call>\n'
    )
    ids = [each["id"] for each in by_template[1]["tool_calls"]]
    assert [turn["tool_call_id"] for turn in by_template[2:]] == ids
    assert [turn["name"] for turn in by_template[2:]] == ["look", "add"]
    assert len(set(ids)) == 2
    assert {len(key) for key in ids} == {9}


def test_only_what_may_be_called_is_shown() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    for choice in (named, allowed):
        assert prompt_of(asked([HI], tools=[LOOK, ADD], tool_choice=choice), format_of(QWEN)).tools == (ADD,)


def test_a_prompt_without_tools_is_what_it_was() -> None:
    for template in (QWEN, ""):
        assert prompt_of(asked([HI]), format_of(template)) == Prompt("", (HI,))
        told = prompt_of(asked(SEVERAL), None)
        assert told.messages[2]["content"] == 'Called look with {"at": "é"}'


def test_a_model_without_a_template_reads_of_the_tools_in_its_text() -> None:
    text = prompt_of(asked([HI], tools=[LOOK]), format_of("")).as_text()

    assert text.startswith("system: # Tools")
    assert text.endswith("\nuser: Hi\nassistant:")


def test_turns_that_a_template_does_not_take_are_refused_in_its_own_words() -> None:
    calls = [call("look", '{"at": "a"}', "one"), call("look", '{"at": "b"}', "two")]
    messages = [HI, {"role": "assistant", "tool_calls": calls}, result("A", "one"), result("B", "two")]

    with pytest.raises(UnsupportedTurnsError, match="This model only supports single tool-calls at once!"):
        shown(LLAMA, prompt_of(asked(messages, tools=[LOOK]), format_of(LLAMA)))
