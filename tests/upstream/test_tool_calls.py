"""Tool calls are put together whole, and count only where the caller offered such a tool."""

import json
import threading
import time
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.execution import offered_tools
from deployments.execution.offered_tools import fault_of_calls
from deployments.execution.steps import MAX_STEPS, QUICK_STEPS, steps
from deployments.policy.outcome import Answered, Failed, Finished, Outcome
from deployments.request import ResponseFormat
from deployments.request.schema import MAX_SUBSCHEMAS
from deployments.upstream.tool_calls import MAX_CALLS, ToolCalls
from tests.fakes import a_request
from tests.upstream.calling import call, stream
from tests.upstream.dialects_of_calls import SIGNED
from tests.upstream.faulty import FaultyUpstream

WHERE = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}


def offered(*names: str, choice: Any = "", parameters: Any = None) -> ResponseFormat:
    tools = tuple({"type": "function", "function": {"name": name, "parameters": parameters}} for name in names)
    return ResponseFormat(tools=tools, tool_choice=choice)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"x": value}
    return value


def called(name: str, arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


async def asked(faulty: FaultyUpstream, scenario: str, tools: ResponseFormat) -> tuple[Outcome, Any]:
    """The answer to a whole request that offers `tools`, and the end of a streamed one."""
    request = replace(a_request(), response_format=tools)
    return await call(faulty, scenario, request), (await stream(faulty, scenario, request))[1]


@pytest.mark.parametrize("scenario", [f"calls-with-a-signature{how}" for how in ("", "-apart", "-whole")])
async def test_a_providers_fields_beside_a_call_are_kept(faulty: FaultyUpstream, scenario: str) -> None:
    outcome, end = await asked(faulty, scenario, offered("look"))

    assert isinstance(outcome, Answered)
    assert isinstance(end, Finished)
    for made in (*outcome.tool_calls, *end.tool_calls):
        assert made["extra_content"] == SIGNED["extra_content"]


async def test_a_call_that_fits_its_tool_is_an_answer(faulty: FaultyUpstream) -> None:
    outcome, end = await asked(faulty, "calls-in-pieces", offered("look", "listen", parameters={"type": "object"}))

    assert isinstance(outcome, Answered)
    assert isinstance(end, Finished)


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        (offered("listen", "speak"), "it called 'look', which is none of the tools"),
        (offered("look", "listen", choice="none"), "it called a tool, though tool_choice forbids it"),
        (
            offered("look", "speak", choice={"type": "function", "function": {"name": "speak"}}),
            "it called 'look', though tool_choice demands another tool",
        ),
        (
            offered("look", parameters={**WHERE, "properties": {"where": {"type": "number"}}}),
            "its call of 'look' does not fit the tool's parameters: at $.where by type",
        ),
    ],
)
async def test_a_call_that_the_caller_could_not_use_is_no_answer(
    faulty: FaultyUpstream, tools: ResponseFormat, reason: str
) -> None:
    assert await asked(faulty, "calls-whole", tools) == (Failed(reason, misfit=True), Failed(reason, misfit=True))


@pytest.mark.parametrize(
    "schema", [{"type": "no such type"}, {"$ref": "http://elsewhere"}, {"$ref": "#"}, {}], ids=json.dumps
)
async def test_a_schema_that_cannot_be_used_is_not_held_against_a_call(schema: dict[str, Any]) -> None:
    assert await fault_of_calls([called("look", {"where": 1})], offered("look", parameters=schema)) == ""


async def test_a_schema_that_takes_too_long_is_given_up_and_not_held_against_a_call() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"x": deep}
    node = {"anyOf": [{"properties": {"x": {"$ref": "#/$defs/n"}}} for _ in range(2)] + [{"type": "string"}]}
    schema = {"$defs": {"n": {"allOf": [node, node]}}, "$ref": "#/$defs/n"}

    assert await fault_of_calls([called("look", deep)], offered("look", parameters=schema)) == ""


def wide(title: str, width: int = MAX_SUBSCHEMAS - 1) -> dict[str, Any]:
    """A schema that takes as long to read as any that is let in; `title` makes it a new one."""
    return {"title": title, "type": "object", "anyOf": [{}] * width}


async def test_a_tools_schema_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def read(_: bytes) -> str:
        threads.append(threading.current_thread().name)
        return ""

    monkeypatch.setattr(offered_tools, "fault_of_written", read)

    await fault_of_calls([called("look", {})], offered("look", parameters=wide("quick", width=1)))
    await fault_of_calls([called("look", {})], offered("look", parameters=wide("slow")))

    assert [name.rsplit("_", 1)[0] for name in threads] == ["conform", "conform-slow"], "by the steps that they take"


async def test_a_tools_schema_that_is_known_is_not_counted_again() -> None:
    tools = offered("look", parameters=wide("known", width=MAX_SUBSCHEMAS - 2) | WHERE)
    steps.begin(MAX_STEPS)
    assert offered_tools._misfit('{"where": "here"}', tools.functions[0]["function"]["parameters"]) == ""
    steps.begin(QUICK_STEPS)

    assert "where" in offered_tools._misfit('{"where": 1}', tools.functions[0]["function"]["parameters"])


def test_calls_beyond_the_bound_are_left_out_and_counted() -> None:
    calls = ToolCalls()

    calls.add([{"index": place, "id": str(place), "function": {"name": "look"}} for place in range(MAX_CALLS + 3)])

    assert (len(calls.to_json()), calls.skipped) == (MAX_CALLS, 3)


@pytest.mark.parametrize("entry", ["look", None, 7, []])
def test_what_is_no_call_is_counted_and_left_out(entry: Any) -> None:
    calls = ToolCalls()

    assert not calls.add([entry])
    assert (bool(calls), calls.skipped) == (False, 1)


@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_a_custom_tools_input_that_comes_with_its_name_is_put_together(index: dict[str, int]) -> None:
    calls = ToolCalls()
    first, second = ({**index, "id": "1", "type": "custom", "custom": {"name": "sh", "input": text}} for text in "ab")

    calls.add([first])
    calls.add([second])

    made = [call["custom"]["input"] for call in calls.to_json()]
    assert made == (["ab"] if index else ["a", "b"])


def test_a_custom_tools_input_is_any_text() -> None:
    calls = ToolCalls()

    calls.add([{"index": 0, "id": "1", "type": "custom", "custom": {"name": "sh", "input": "ls "}}])
    calls.add([{"index": 0, "custom": {"input": "-l"}}])

    assert calls.fault() == ""
    assert calls.to_json() == ({"id": "1", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}},)


def test_two_tools_without_arguments_and_ids_at_one_index_are_two_calls_where_both_are_offered() -> None:
    calls = ToolCalls(frozenset({"look", "listen"}))

    calls.add([{"index": 0, "function": {"name": "look"}}])
    calls.add([{"index": 0, "function": {"name": "listen"}}])

    assert [made["function"]["name"] for made in calls.to_json()] == ["look", "listen"]


@pytest.mark.parametrize("piece", ["x", '"', "}", '"}'])
def test_the_time_for_a_call_grows_with_its_length_where_each_delta_has_the_name(piece: str) -> None:
    calls = ToolCalls()
    began = time.process_time()

    calls.add([{"index": 0, "id": "1", "function": {"name": "look", "arguments": '{"where": "'}}])
    for turn in range(10_000):
        calls.add([{"index": 0, "function": {"name": "look", "arguments": piece}, "at": {piece: turn}}])

    assert time.process_time() - began < 2.0


def test_a_field_beside_a_call_that_is_nested_too_deep_is_left_out() -> None:
    calls = ToolCalls()

    inner = {"name": "look", "arguments": "{}", "within": nested(300)}
    calls.add([{"index": 0, "id": "1", "function": inner, "beside": nested(300), "kept": 1}])

    function = {"name": "look", "arguments": "{}"}
    assert calls.to_json() == ({"id": "1", "type": "function", "function": function, "kept": 1},)


@pytest.mark.parametrize(("kind", "field"), [("function", "arguments"), ("custom", "input")])
def test_arguments_that_are_nested_too_deep_are_a_fault(kind: str, field: str) -> None:
    calls = ToolCalls()

    calls.add([{"index": 0, "id": "1", "type": kind, kind: {"name": "look", field: nested(300)}}])
    calls.add([{"index": 0, kind: {field: "{}"}}])

    assert calls.fault() == "its tool calls are malformed: the arguments of one are no JSON object"
