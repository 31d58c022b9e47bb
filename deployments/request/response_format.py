"""Reads the form that an answer must have: `response_format`, `tools` and related keys, in OpenAI's terms."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_TYPE, read_flag, read_object, refuse
from deployments.request.inference import ANY_FORMAT, Feature, ResponseFormat, allowed_names
from deployments.request.schema import ACCEPTED, fault_of_schema

MAX_TOOLS = 128

FORMAT_KEYS = frozenset({"response_format", "tools", "tool_choice", "parallel_tool_calls"})

FOREIGN_FORMAT = "response_format"
"""The name of the feature of a `response_format` whose type is not known here: it is passed on, and not checked."""

_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LONGEST_NAME = 64
_FORMATS = "an object whose `type` is text, json_object or json_schema"
_TOOL = '{"type": "function", "function": {"name": ..., "description": ..., "parameters": <JSON schema>}}'
_CHOICES = 'none, auto, required, or {"type": "function", "function": {"name": <one of tools>}}'


def read_response_format(data: Mapping[str, Any]) -> ResponseFormat:
    """Read the keys in `FORMAT_KEYS`. A `response_format` of a type that is not known here constrains nothing.

    Raises:
        InvalidRequestError: one of the keys is not valid.
    """
    if data.keys().isdisjoint(FORMAT_KEYS):
        return ANY_FORMAT
    tools = _read_tools(data)
    functions = [tool["function"]["name"] for tool in tools if tool["type"] == "function"]
    return ResponseFormat(
        constraint=_read_format(data),
        tools=tools,
        tool_choice=_read_choice(data, functions, is_known=len(functions) == len(tools)),
        parallel_tool_calls=read_flag(data, "parallel_tool_calls"),
    )


def format_features(data: Mapping[str, Any], wanted: ResponseFormat) -> tuple[Feature, ...]:
    """Return what a model of our own cannot do of `wanted`, which was read from `data`: it calls functions only.

    That an answer fits a `response_format` of a known type is checked, whoever gives it: any model may be asked.
    """
    if not wanted.tools and not data.get(FOREIGN_FORMAT):
        return ()
    features: list[Feature] = []
    if wanted.tools and wanted.tool_choice != "none":
        foreign = next((place for place, tool in enumerate(wanted.tools) if tool["type"] != "function"), None)
        if foreign is not None:
            features.append(Feature("tools", f"tools[{foreign}].type"))
    if data.get(FOREIGN_FORMAT) and not wanted.constraint and data[FOREIGN_FORMAT]["type"] != "text":
        features.append(Feature(FOREIGN_FORMAT, f"{FOREIGN_FORMAT}.type"))
    return tuple(features)


def _read_format(data: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = read_object(data, "response_format", _FORMATS)
    match wanted.get("type"):
        case None if not wanted and data.get("response_format") is None:
            return {}
        case "text":
            return {}
        case "json_object":
            return wanted
        case "json_schema":
            _check_json_schema(wanted.get("json_schema"))
            return wanted
        case str(foreign) if 0 < len(foreign) <= MAX_TYPE:
            return {}
        case _:
            raise InvalidRequestError(Problem("response_format.type", "is not supported", _FORMATS))


def _check_json_schema(value: Any) -> None:
    place = "response_format.json_schema"
    if not isinstance(value, Mapping):
        raise refuse(place, value, '{"name": ..., "schema": <JSON schema>}')
    check_name(value.get("name"), f"{place}.name")
    check_schema(value.get("schema"), f"{place}.schema")


def check_name(value: Any, place: str, longest: int = _LONGEST_NAME) -> None:
    """Check that `value`, at `place` of a request, can be the name of a function or a form.

    Raises:
        InvalidRequestError: it cannot.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > longest:
        raise InvalidRequestError(Problem(place, "is no name", f"1 to {longest} letters, digits, _ or -"))


def check_schema(value: Any, place: str) -> None:
    """Check that `value`, at `place` of a request, is a JSON schema that an answer can be held to.

    Raises:
        InvalidRequestError: it is none, or breaks a bound.
    """
    if not isinstance(value, Mapping):
        raise refuse(place, value, ACCEPTED)
    if fault := fault_of_schema(value):
        raise InvalidRequestError(Problem(place, fault, ACCEPTED))


def check_parameters(value: Any, place: str) -> None:
    """Check that `value`, at `place` of a request, can be the parameters of a function.

    What is no schema, or breaks a bound, is none that a call is held to: the caller's models may take it all the same.

    Raises:
        InvalidRequestError: it is no object, or asks for arguments without names.
    """
    if not isinstance(value, Mapping):
        raise refuse(place, value, "a JSON schema")
    if isinstance(sort := value.get("type"), str) and sort != "object":
        raise InvalidRequestError(Problem(f"{place}.type", "is not object", "object: arguments have names"))


def check_apart(names: Sequence[str], places: Sequence[str]) -> None:
    """Check that the functions of one request, with their names at `places`, have names of their own.

    Raises:
        InvalidRequestError: two have the same name.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidRequestError(Problem(places[number], "is that of a tool before it", "a name of its own"))


def _read_tools(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    value = data.get("tools")
    if value is None:
        return ()
    accepted = f"a list of at most {MAX_TOOLS} tools: {_TOOL}"
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise refuse("tools", value, accepted)
    for place, tool in enumerate(value):
        _check_tool(tool, f"tools[{place}]")
    named = {place: tool["function"]["name"] for place, tool in enumerate(value) if tool["type"] == "function"}
    check_apart([*named.values()], [f"tools[{place}].function.name" for place in named])
    return tuple(value)


def _check_tool(tool: Any, place: str) -> None:
    if not isinstance(tool, Mapping):
        raise refuse(place, tool, _TOOL)
    sort = tool.get("type")
    if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE:
        raise InvalidRequestError(Problem(f"{place}.type", "is not supported", "function, or what an upstream takes"))
    if sort != "function":
        return
    function = tool.get("function")
    if not isinstance(function, Mapping):
        raise refuse(f"{place}.function", function, _TOOL)
    check_name(function.get("name"), f"{place}.function.name")
    if function.get("parameters") is not None:
        check_parameters(function["parameters"], f"{place}.function.parameters")


def _read_choice(data: Mapping[str, Any], names: list[str], *, is_known: bool) -> str | Mapping[str, Any]:
    """Read `tool_choice`, given the names of the functions; where not `is_known`, there are tools of other types."""
    value = data.get("tool_choice")
    match value:
        case None:
            return ""
        case "none" | "auto":
            return str(value)
        case "required" if names or not is_known:
            return "required"
        case {"type": "allowed_tools"} if not is_known or (names and allowed_names(value) <= set(names)):
            return dict(value)
        case {"type": str()} if not is_known:
            return dict(value)
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            return dict(value)
        case "required":
            raise InvalidRequestError(Problem("tool_choice", "is given without tools", _CHOICES))
        case Mapping():
            raise InvalidRequestError(Problem("tool_choice", "names none of the tools", _CHOICES))
        case _:
            raise refuse("tool_choice", value, _CHOICES)
