"""A model that can do what it is asked for: it calls functions and writes forms, by rules instead of wits.

It answers in the place of a model of our own where that is too small, even held to a grammar.

    functions are offered, and the last turn is no result    a call: of the one that is demanded, else of the first that
                                                             has not been called yet, else of the last
    a JSON schema                                            the smallest instance
    a JSON object                                            the keys are what the last user turn has in quotation marks
    else                                                     the text of every healthy scenario

Numbers and texts are taken from the last user turn: numbers as they stand there, texts from its quotation marks.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.upstream.exchange import Exchange
from tests.upstream.scenarios import healthy, scenario

_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_PIECE = 7


@scenario("able")
async def able(exchange: Exchange) -> None:
    """Answer, whole or in pieces."""
    if exchange.is_text:
        await healthy(exchange)
        return
    said, body = _Said(exchange.body["messages"]), exchange.body
    if function := _wanted(body, said):
        arguments = json.dumps(said.instance(function.get("parameters", {}), ""), ensure_ascii=False)
        await _call(exchange, function["name"], arguments)
        return
    match body.get("response_format"):
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            await _write(exchange, json.dumps(said.instance(schema, "")))
        case {"type": "json_object"}:
            await _write(exchange, json.dumps({key: f"a {key}" for key in said.quoted}))
        case _:
            await healthy(exchange)


def _wanted(body: Mapping[str, Any], said: "_Said") -> Mapping[str, Any] | None:
    """The function to call; `None` for none."""
    functions: list[Mapping[str, Any]] = [
        tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"
    ]
    match body.get("tool_choice"):
        case "none":
            return None
        case {"function": {"name": name}}:
            return next(function for function in functions if function["name"] == name)
        case "required":
            return next((each for each in functions if each["name"] not in said.called), functions[-1])
        case _:
            left = [each for each in functions if each["name"] not in said.called]
            return left[0] if left and not said.ends_with_a_result else None


class _Said:
    """What the conversation has said so far."""

    def __init__(self, turns: Sequence[Mapping[str, Any]]) -> None:
        calls = [call for turn in turns for call in turn.get("tool_calls") or ()]
        self.called = {call["function"]["name"] for call in calls}
        self.ends_with_a_result = turns[-1]["role"] == "tool"
        text = next((_text_of(turn) for turn in reversed(turns) if turn["role"] == "user"), "")
        self.quoted = [one or other for one, other in _QUOTED.findall(text)]
        self._numbers = [int(number) for number in _NUMBER.findall(text)]

    def instance(self, schema: Mapping[str, Any], name: str, root: Mapping[str, Any] | None = None) -> Any:
        """The smallest instance of `schema`, the value of a field called `name`."""
        root = schema if root is None else root
        match schema:
            case {"$ref": str(ref)}:
                return self.instance(root["$defs"][ref.rpartition("/")[2]], name, root)
            case {"const": value} | {"enum": [value, *_]}:
                return value
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]} | {"allOf": [first, *_]}:
                return self.instance(first, name, root)
            case {"type": "array"}:
                return [self.instance(schema.get("items", {"type": "string"}), name, root)]
            case {"type": "integer" | "number"}:
                return next(iter(self._numbers), 1)
            case {"type": "boolean"}:
                return True
            case {"type": "string"}:
                return next(iter(self.quoted), f"a {name}")
            case _:
                fields = schema.get("properties", {})
                return {key: self.instance(fields[key], key, root) for key in schema.get("required") or fields}


def _text_of(turn: Mapping[str, Any]) -> str:
    content = turn["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _pieces(text: str) -> Iterator[str]:
    return (text[place : place + _PIECE] for place in range(0, len(text), _PIECE))


async def _write(exchange: Exchange, text: str) -> None:
    if not exchange.streams:
        await exchange.completion({"content": text})
        return
    await exchange.begin_stream()
    await exchange.says([*_pieces(text)])
    await exchange.finish()


async def _call(exchange: Exchange, name: str, arguments: str) -> None:
    begun = {"id": f"call_{exchange.number}", "type": "function", "function": {"name": name, "arguments": ""}}
    if not exchange.streams:
        whole = {**begun, "function": {"name": name, "arguments": arguments}}
        await exchange.completion({"content": None, "tool_calls": [whole]}, "tool_calls")
        return
    await exchange.begin_stream()
    await exchange.delta({"tool_calls": [{"index": 0, **begun}]})
    for piece in _pieces(arguments):
        await exchange.delta({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    await exchange.finish("tool_calls")
