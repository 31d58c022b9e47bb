"""Calls are read out of what a model writes, however it is cut into pieces. No text has anything of their form."""

import json
from typing import Any

import pytest

from deployments.formats.tool_format import IN_WORDS, ToolFormat, format_of
from deployments.formats.tool_reader import MAX_CALLS_WRITTEN, ToolCallReader
from tests.formats.templates import LLAMA, MISTRAL, QWEN

NAMES = ["look", "add"]
LOOK = ("look", {"at": "the <tool_call> {sky}"})
ADD = ("add", {"a": 1, "b": [2, {"c": 'a "quoted\\" brace }'}]})
HERMES = '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
OTHER_ORDER = '<tool_call>{"arguments":%s,"name":"look"}</tool_call>'
TWO_IN_A_LIST = '[{"name": "look", "arguments": %s}, {"name": "add", "arguments": %s}]'
TWO_BEHIND = '{"type": "function", "name": "look", "parameters": %s}; {"name": "add", "parameters": %s}'
LLAMA_ONE = '{"name": "look", "parameters": %s}'
CALLED = [
    (QWEN, HERMES % ("look", "%s"), "", [LOOK]),
    (QWEN, "Let me see.\n" + OTHER_ORDER, "Let me see.\n", [LOOK]),
    (QWEN, HERMES % ("look", "%s") + "\n" + HERMES % ("add", "%s"), "", [LOOK, ADD]),
    (QWEN, f"a < b<tool_call> {TWO_IN_A_LIST} </tool_call> done", "a < b", [LOOK, ADD]),
    (LLAMA, LLAMA_ONE, "", [LOOK]),
    (LLAMA, "<|python_tag|>" + LLAMA_ONE, "", [LOOK]),
    (LLAMA, TWO_BEHIND, "", [LOOK, ADD]),
    (MISTRAL, TWO_IN_A_LIST, "", [LOOK, ADD]),
    (MISTRAL, 'Yes. [TOOL_CALLS] [{"name": "look", "arguments": %s, "id": "abcdefghi"}]', "Yes. ", [LOOK]),
]
SAID = [
    (QWEN, 'if a <b: {"name": "look", "arguments": {}} <tool>'),
    (LLAMA, 'JSON is {"name": "look"} or {"name": "other", "parameters": {}}, [1] or {'),
    (MISTRAL, 'See [1], [TOOL] and [{"name": "other", "arguments": {}}], or [{"name'),
]
WRONG = [
    (QWEN, '<tool_call>\n{"name": "look", "argume', "is not whole"),
    (QWEN, "Yes <tool_call>\n", "is not whole"),
    (QWEN, "<tool_call>look(1)</tool_call>", "it has no JSON"),
    (QWEN, '<tool_call>{"name": look}</tool_call>', "it is no JSON"),
    (QWEN, '<tool_call>{"name": "look", "arguments": {"at": NaN}}</tool_call>', "it is no JSON"),
    (QWEN, '<tool_call>{"arguments": {}}</tool_call>', "lacks a name"),
    (QWEN, '<tool_call>{"name": "look", "arguments": [1]}</tool_call>', "are no object"),
    (QWEN, '<tool_call>{"name": "look", "arguments": {"at": "\\ud83d"}}</tool_call>', "malformed"),
    (QWEN, '<tool_call>{"name": "look", "arguments": {"at": 1e999}}</tool_call>', "malformed"),
    (QWEN, "<tool_call>" + "[" * 5000, "too deep"),
    (QWEN, '<tool_call>{"name": "look"}</tool_call>' * (MAX_CALLS_WRITTEN + 1), "more than 128"),
    (LLAMA, '{"name": "look", "parameters": {"at"', "is not whole"),
]


def read(template: str, *pieces: str) -> tuple[str, ToolCallReader]:
    reader = ToolCallReader(format_of(template), NAMES)
    text = "".join([reader.feed(piece) for piece in pieces] + [reader.finish()])
    return text, reader


def told(reader: ToolCallReader) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in reader.calls]


@pytest.mark.parametrize(("template", "form", "text", "calls"), CALLED)
def test_calls_are_read_the_same_wherever_the_text_is_cut(
    template: str, form: str, text: str, calls: list[tuple[str, Any]]
) -> None:
    written = form % tuple(json.dumps(arguments) for _, arguments in calls)

    cuts = [(written[:place], written[place:]) for place in range(len(written) + 1)]
    for pieces in (*cuts, tuple(written)):
        said, reader = read(template, *pieces)
        assert (said, told(reader), reader.fault) == (text, calls, ""), pieces
        assert len({call["id"] for call in reader.calls}) == len(calls)


@pytest.mark.parametrize(("template", "written"), SAID)
def test_text_that_only_looks_like_a_call_is_passed_on_whole(template: str, written: str) -> None:
    for place in range(len(written) + 1):
        said, reader = read(template, written[:place], written[place:])
        assert (said, reader.calls, reader.fault) == (written, [], "")


@pytest.mark.parametrize(("template", "written", "fault"), WRONG)
def test_a_call_that_nobody_could_use_is_a_fault_and_no_text(template: str, written: str, fault: str) -> None:
    for pieces in ((written,), tuple(written)):
        said, reader = read(template, *pieces)
        assert fault in reader.fault
        assert said.strip() in {"", "Yes"}


def test_text_is_passed_on_as_soon_as_it_cannot_be_a_call() -> None:
    reader = ToolCallReader(IN_WORDS, NAMES)

    pieces = ("It ", "is <", "b>", "<tool", "_call>", "{")
    assert [reader.feed(piece) for piece in pieces] == ["It ", "is ", "<b>", "", "", ""]
    assert reader.in_call


def test_arguments_that_are_text_control_characters_or_missing_are_read() -> None:
    as_text = '{"name": "add", "arguments": "{\\"a\\": 1}"}'
    of_two_lines = '{"name": "add", "arguments": {"a": "x\ny"}}'
    _, reader = read(QWEN, f'<tool_call>{as_text}</tool_call><tool_call>{of_two_lines}<tool_call>{{"name": "look"}}')

    assert told(reader) == [("add", {"a": 1}), ("add", {"a": "x\ny"}), ("look", {})]


@pytest.mark.parametrize(
    ("template", "name", "by_template"),
    [
        (QWEN, "hermes", True),
        (LLAMA, "llama", True),
        (MISTRAL, "mistral", True),
        ("", "hermes", False),
        ("{{ messages }}", "hermes", False),
        ("{{ tools }} <tool_call><function=name>", "hermes", False),
        ("{{ tools }} [TOOL_CALLS]name[ARGS]", "hermes", False),
        ("{{ tools }} <|tool_call|>", "hermes", False),
    ],
)
def test_the_form_of_calls_is_told_by_the_chat_template(template: str, name: str, *, by_template: bool) -> None:
    form: ToolFormat = format_of(template)

    assert (form.name, form.by_template) == (name, by_template)
