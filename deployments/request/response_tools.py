"""Reads what OpenAI's Responses say of the form of an answer, and turns it into the terms of its chats.

    text.format              free text, or JSON, by a schema
    tools                    functions and custom tools; no chat can be asked for what a provider would run itself: it
                             is listed as dropped, and refused where it has to be used and nobody has it
    tool_choice              none, auto, required, one of the tools, or allowed_tools
    parallel_tool_calls      as in a chat

In a chat, tools and formats have one more level of objects around them: `{"type": "function", "function": {...}}`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import refuse
from deployments.request.inference import ANY_FORMAT, Feature, ResponseFormat
from deployments.request.response_format import (
    MAX_TOOLS,
    check_apart,
    check_parameters,
    check_schema,
    format_features,
)
from deployments.request.responses_fields import (
    CHOICES_OF_RESPONSES,
    NamedTool,
    ResponsesBody,
    TextForm,
    TextOptions,
    TextSort,
    ToolSort,
)
from deployments.request.structs import read_struct

_FORMAT_FIELDS = ("name", "description", "schema", "strict")
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


def read_form(asked: ResponsesBody) -> tuple[ResponseFormat, tuple[Feature, ...]]:
    """Read the form of a response.

    Returns:
        The form, and the features that it uses: a tool that no model can be asked for is one, by the name of its type.

    Raises:
        InvalidRequestError: one of the fields is not valid.
    """
    if asked.text is None and not asked.tools and asked.tool_choice is None and asked.parallel_tool_calls is None:
        return ANY_FORMAT, ()
    constraint = _read_format(asked.text)
    tools, foreign = _read_tools(asked.tools or ())
    wanted = ResponseFormat(
        constraint=constraint,
        tools=tools,
        tool_choice=_read_choice(asked.tool_choice, tools, foreign),
        parallel_tool_calls=asked.parallel_tool_calls,
    )
    if wanted.tool_choice == "none":
        foreign = ()
    foreign = tuple(_with_choice(asked.tool_choice, foreign, has_others=bool(tools)))
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


def _read_format(text: TextOptions | None) -> Mapping[str, Any]:
    if text is None or text.format is None:
        return {}
    wanted = text.format
    match read_struct(wanted, TextSort, "text.format").type:
        case "text":
            return {}
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            check_schema(read_struct(wanted, TextForm, "text.format").schema, "text.format.schema")
            fields = {key: wanted[key] for key in _FORMAT_FIELDS if wanted.get(key) is not None}
            return {"type": "json_schema", "json_schema": fields}


def _read_tools(
    sent: Sequence[Mapping[str, Any]],
) -> tuple[tuple[Mapping[str, Any], ...], tuple[Feature, ...]]:
    tools, places, foreign = [], [], []
    for number, tool in enumerate(sent):
        place = f"tools[{number}]"
        match read_struct(tool, ToolSort, place).type:
            case "function":
                tools.append(_function(tool, place))
                places.append(f"{place}.name")
            case "custom":
                tools.append(_custom(tool, place))
            case sort:
                foreign.append(Feature(sort, f"{place}.type", essential=False, foreign=True))
    check_apart([tool["function"]["name"] for tool in tools if tool["type"] == "function"], places)
    return tuple(tools), tuple(foreign)


def _function(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    read = read_struct(tool, NamedTool, place)
    if read.parameters is not None:
        check_parameters(read.parameters, f"{place}.parameters")
    return {"type": "function", "function": {key: tool[key] for key in _FUNCTION_FIELDS if tool.get(key) is not None}}


def _custom(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    read_struct(tool, NamedTool, place)
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
                raise InvalidRequestError(Problem("tool_choice.tools", "names none of the tools", CHOICES_OF_RESPONSES))
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        case {"type": "function" | "custom"} if choice := _named(value, tools):
            return choice
        case {"type": str(sort)} if any(feature.name == sort for feature in foreign):
            return "auto" if tools else ""
        case "required":
            raise InvalidRequestError(
                Problem("tool_choice", "is given without tools that can be called", CHOICES_OF_RESPONSES)
            )
        case Mapping():
            raise InvalidRequestError(Problem("tool_choice", "names none of the tools", CHOICES_OF_RESPONSES))
        case _:
            raise refuse("tool_choice", value, CHOICES_OF_RESPONSES)


def _named(choice: Any, tools: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """Return the tool that `choice` names, in the form of a chat; empty where it names none of `tools`."""
    match choice:
        case {"type": "function" | "custom" as sort, "name": str(name)}:
            is_there = any(tool["type"] == sort and tool[sort]["name"] == name for tool in tools)
            return {"type": sort, sort: {"name": name}} if is_there else {}
        case _:
            return {}
