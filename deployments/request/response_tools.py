"""Reads what OpenAI's Responses say of the form of an answer, and turns it into the terms of its chats.

    text.format              free text, or JSON, by a schema
    tools                    functions and custom tools; no chat can be asked for what a provider would run itself: it
                             is listed as dropped, and refused where it has to be used and nobody has it
    tool_choice              none, auto, required, one of the tools, or allowed_tools
    parallel_tool_calls      as in a chat

In a chat, tools and formats have one more level of objects around them: `{"type": "function", "function": {...}}`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_TYPE, read_flag, read_object, refuse
from deployments.request.inference import Feature, ResponseFormat
from deployments.request.response_format import (
    MAX_TOOLS,
    check_apart,
    check_name,
    check_parameters,
    check_schema,
    format_features,
)

OF_FORM = frozenset({"text", "tools", "tool_choice", "parallel_tool_calls"})

_TEXT = "an object with `format` or `verbosity`"
_FORMATS = 'an object whose `type` is text, json_object or json_schema (with "name" and "schema")'
_FORMAT_FIELDS = ("name", "description", "schema", "strict")
_TOOL = '{"type": "function", "name": ..., "description": ..., "parameters": <JSON schema>}'
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")
_CHOICES = 'none, auto, required, or {"type": "function", "name": <one of tools>}'


def read_form(data: Mapping[str, Any]) -> tuple[ResponseFormat, tuple[Feature, ...]]:
    """Read the fields in `OF_FORM`.

    Returns:
        The form, and the features that it uses: a tool that no model can be asked for is one, by the name of its type.

    Raises:
        InvalidRequestError: one of the fields is not valid.
    """
    constraint = _read_format(data)
    tools, foreign = _read_tools(data.get("tools"))
    wanted = ResponseFormat(
        constraint=constraint,
        tools=tools,
        tool_choice=_read_choice(data.get("tool_choice"), tools, foreign),
        parallel_tool_calls=read_flag(data, "parallel_tool_calls"),
    )
    if wanted.tool_choice == "none":
        foreign = ()
    foreign = tuple(_with_choice(data.get("tool_choice"), foreign, has_others=bool(tools)))
    return wanted, (*format_features({}, wanted), *foreign)


def _with_choice(choice: Any, foreign: tuple[Feature, ...], *, has_others: bool) -> Iterator[Feature]:
    """Give the tools that a provider runs; who has to use one cannot do without, unless one of the others will do."""
    for tool in foreign:
        match choice:
            case {"type": str(sort)} if sort == tool.name:
                yield replace(tool, essential=True)
            case _:
                yield tool
    if foreign and choice == "required":
        yield Feature("tool_choice", "tool_choice", essential=not has_others, foreign=True)


def read_text(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the field `text`.

    Raises:
        InvalidRequestError: it is no object.
    """
    return read_object(data, "text", _TEXT)


def _read_format(data: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = read_text(data).get("format")
    match wanted:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema"}:
            check_name(wanted.get("name"), "text.format.name")
            check_schema(wanted.get("schema"), "text.format.schema")
            fields = {key: wanted[key] for key in _FORMAT_FIELDS if wanted.get(key) is not None}
            return {"type": "json_schema", "json_schema": fields}
        case Mapping():
            raise InvalidRequestError(Problem("text.format.type", "is not supported", _FORMATS))
        case _:
            raise refuse("text.format", wanted, _FORMATS)


def _read_tools(value: Any) -> tuple[tuple[Mapping[str, Any], ...], tuple[Feature, ...]]:
    if value is None:
        return (), ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise refuse("tools", value, f"a list of at most {MAX_TOOLS} tools: {_TOOL}")
    tools, places, foreign = [], [], []
    for number, tool in enumerate(value):
        place = f"tools[{number}]"
        if not isinstance(tool, Mapping):
            raise refuse(place, tool, _TOOL)
        match tool.get("type"):
            case "function":
                tools.append(_function(tool, place))
                places.append(f"{place}.name")
            case "custom":
                tools.append(_custom(tool, place))
            case str(sort) if 0 < len(sort) <= MAX_TYPE:
                foreign.append(Feature(sort, f"{place}.type", essential=False, foreign=True))
            case _:
                accepted = "function, custom, or what a provider runs itself"
                raise InvalidRequestError(Problem(f"{place}.type", "is not supported", accepted))
    check_apart([tool["function"]["name"] for tool in tools if tool["type"] == "function"], places)
    return tuple(tools), tuple(foreign)


def _function(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    check_name(tool.get("name"), f"{place}.name")
    if tool.get("parameters") is not None:
        check_parameters(tool["parameters"], f"{place}.parameters")
    return {"type": "function", "function": {key: tool[key] for key in _FUNCTION_FIELDS if tool.get(key) is not None}}


def _custom(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    check_name(tool.get("name"), f"{place}.name")
    fields = {key: tool[key] for key in ("name", "description", "format") if tool.get(key) is not None}
    match fields.get("format"):
        case {"type": "grammar", "syntax": syntax, "definition": definition}:
            fields["format"] = {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}
        case _:
            pass
    return {"type": "custom", "custom": fields}


def _read_choice(
    value: Any, tools: tuple[Mapping[str, Any], ...], foreign: tuple[Feature, ...]
) -> str | Mapping[str, Any]:
    match value:
        case None:
            return ""
        case "none" | "auto":
            return str(value)
        case "required" if tools and not foreign:
            return "required"
        case "required" if foreign:  # a tool of its provider's will do, and is no call
            return "auto" if tools else ""
        case {"type": "allowed_tools", "tools": [*named]}:
            allowed = [choice for each in named[:MAX_TOOLS] if (choice := _named(each, tools))]
            mode = "required" if value.get("mode") == "required" else "auto"
            if not allowed:
                raise InvalidRequestError(Problem("tool_choice.tools", "names none of the tools", _CHOICES))
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        case {"type": "function" | "custom"} if choice := _named(value, tools):
            return choice
        case {"type": str(sort)} if any(feature.name == sort for feature in foreign):
            return "auto" if tools else ""
        case "required":
            raise InvalidRequestError(Problem("tool_choice", "is given without tools that can be called", _CHOICES))
        case Mapping():
            raise InvalidRequestError(Problem("tool_choice", "names none of the tools", _CHOICES))
        case _:
            raise refuse("tool_choice", value, _CHOICES)


def _named(choice: Any, tools: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """Return the tool that `choice` names, in the form of a chat; empty where it names none of `tools`."""
    match choice:
        case {"type": "function" | "custom" as sort, "name": str(name)}:
            is_there = any(tool["type"] == sort and tool[sort]["name"] == name for tool in tools)
            return {"type": sort, sort: {"name": name}} if is_there else {}
        case _:
            return {}
