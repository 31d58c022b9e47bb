"""Reads the form that an answer must have: `response_format`, `tools` and related keys, in OpenAI's terms."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_TYPE, refuse
from deployments.request.inference import ANY_FORMAT, Feature, ResponseFormat, allowed_names
from deployments.request.schema import ACCEPTED, fault_of_schema
from deployments.request.structs import does, read_struct

MAX_TOOLS = 128

FOREIGN_FORMAT = "response_format"
"""The name of the feature of a `response_format` whose type is not known here: it is passed on, and not checked."""

_NAMELESS = "answer"
"""What a schema is called whose sender gives it no name."""

_FORMATS = "an object whose `type` is text, json_object or json_schema"
_TOOL = '{"type": "function", "function": {"name": ..., "description": ..., "parameters": <JSON schema>}}'
_CHOICES = 'none, auto, required, or {"type": "function", "function": {"name": <one of tools>}}'

Sort = Annotated[str, Meta(min_length=1, max_length=MAX_TYPE)]
"""The type of a tool, a form or a part."""


NAMES = "^[A-Za-z0-9_-]+$"
Name = Annotated[str, Meta(max_length=64, pattern=NAMES, extra={"accepted": "1 to 64 letters, digits, _ or -"})]
"""The name of a function or of a form."""


class JsonForm(Struct, frozen=True):
    """The JSON that an answer has to be."""

    name: Annotated[Name, does("A name for it.")]
    schema: Annotated[dict[str, Any], does("The JSON schema that the answer has to fit.", accepted=ACCEPTED)]


class AnswerForm(Struct, frozen=True):
    """The form of an answer. One of another type is for remote models, as it was sent."""

    type: Annotated[Sort, does("`text`, `json_object` or `json_schema`.", accepted=_FORMATS)]
    json_schema: Annotated[Any, does("Of `json_schema`: what the answer has to fit.", shown=JsonForm)] = None


class Function(Struct, frozen=True):
    """A function that a model may call."""

    name: Annotated[Name, does("Its name.")]
    description: Annotated[Any, does("What it does, for the model.", shown=str)] = None
    parameters: Annotated[Any, does("The JSON schema of its arguments.", shown=dict[str, Any])] = None


class Tool(Struct, frozen=True):
    """A function. A tool of another type is for remote models, as it was sent."""

    type: Annotated[Sort, does("`function`, or one for remote models.", accepted="function, or what an upstream takes")]
    function: Annotated[Function | None, does("Of a function.", accepted=_TOOL)] = None


class FormFields(Struct, frozen=True):
    """The fields of a chat that are about the form of its answer."""

    response_format: Annotated[dict[str, Any] | None, does("The form.", accepted=_FORMATS, shown=AnswerForm)] = None
    tools: Annotated[
        Annotated[list[Annotated[Tool, Meta(extra={"accepted": _TOOL})]], Meta(max_length=MAX_TOOLS)] | None,
        does("What the model may call.", accepted=f"a list of at most {MAX_TOOLS} tools: {_TOOL}"),
    ] = None
    tool_choice: Annotated[
        Any,
        does(
            "Whether it is to call one.", accepted=_CHOICES, shown=Literal["none", "auto", "required"] | dict[str, Any]
        ),
    ] = None
    parallel_tool_calls: Annotated[bool | None, does("Several functions may be called in one answer.")] = None


FORM_KEYS = frozenset(FormFields.__struct_fields__)


def read_response_format(data: Mapping[str, Any]) -> ResponseFormat:
    """Read `FormFields` in `data`. A `response_format` of a type that is not known here constrains nothing.

    Raises:
        InvalidRequestError: one of the fields is not valid.
    """
    if data.keys().isdisjoint(FORM_KEYS):
        return ANY_FORMAT
    asked = read_struct(data, FormFields)
    tools = asked.tools or ()
    functions = _check_functions(tools)
    return ResponseFormat(
        constraint=_read_format(asked.response_format),
        tools=tuple(data["tools"]) if tools else (),
        tool_choice=_read_choice(asked.tool_choice, functions, is_known=len(functions) == len(tools)),
        parallel_tool_calls=asked.parallel_tool_calls,
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


def _read_format(wanted: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if wanted is None:
        return {}
    sort = read_struct(wanted, AnswerForm, "response_format").type
    if sort == "json_schema":
        if wanted.get("json_schema") is None and isinstance(wanted.get("schema"), Mapping):  # in Together's form
            check_schema(wanted["schema"], "response_format.schema")
            return {"type": sort, "json_schema": {"name": _NAMELESS, "schema": wanted["schema"]}}
        place = "response_format.json_schema"
        if not isinstance(wanted.get("json_schema"), Mapping):
            raise refuse(place, wanted.get("json_schema"), '{"name": ..., "schema": <JSON schema>}')
        check_schema(read_struct(wanted["json_schema"], JsonForm, place).schema, f"{place}.schema")
    return wanted if sort in ("json_object", "json_schema") else {}


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


def _check_functions(tools: Sequence[Tool]) -> list[str]:
    """Return the names of the functions among `tools`."""
    names, places = [], []
    for number, tool in enumerate(tools):
        if tool.type != "function":
            continue
        place = f"tools[{number}].function"
        if tool.function is None:
            raise refuse(place, None, _TOOL)
        if tool.function.parameters is not None:
            check_parameters(tool.function.parameters, f"{place}.parameters")
        names.append(tool.function.name)
        places.append(f"{place}.name")
    check_apart(names, places)
    return names


def _read_choice(value: Any, names: list[str], *, is_known: bool) -> str | Mapping[str, Any]:
    """Read `tool_choice`, given the names of the functions; where not `is_known`, there are tools of other types.

    `any` is Mistral's word for `required`.
    """
    match value:
        case None:
            return ""
        case "none" | "auto":
            return str(value)
        case "required" | "any" if names or not is_known:
            return "required"
        case {"type": "allowed_tools"} if not is_known or (names and allowed_names(value) <= set(names)):
            return dict(value)
        case {"type": str()} if not is_known:
            return dict(value)
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            return dict(value)
        case "required" | "any":
            raise InvalidRequestError(Problem("tool_choice", "is given without tools", _CHOICES))
        case Mapping():
            raise InvalidRequestError(Problem("tool_choice", "names none of the tools", _CHOICES))
        case _:
            raise refuse("tool_choice", value, _CHOICES)
