"""Reads Anthropic's Messages format: the fields of `POST /v1/messages`, and of `POST /v1/messages/count_tokens`.

    system, messages               the conversation: see `dialogue`; the fields are in `messages_fields`
    tools, tool_choice             the functions that may be called; tools of other types are for upstreams of this
                                   format: others are not asked for them, and list them as dropped
    max_tokens, stop_sequences     sampling parameters, beside those that have the same name in every format
    output_config.format           the JSON schema that the answer has to fit
    thinking, output_config.effort OpenAI's `reasoning_effort`: a hint; a budget of tokens is told as the nearest effort
    metadata.user_id               the caller's end user
    service_tier                   passed on in OpenAI's words
    context_management, speed      no model can be asked for them: every answer lists them as dropped; likewise what is
                                   not named here of a tool, of `thinking` and of `output_config`
    cache_control, diagnostics     change nothing about an answer: left out

`max_tokens` may be left out, as in every other format here. All other fields are unknown, and are treated as those of a
chat: see `passing`. The headers `anthropic-version` and `x-api-key` may be sent, and are not read. A remote model that
speaks this format gets the body as it was sent, and `anthropic-beta` with it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.problem import NO_THREADS, InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.conversation import note_feature, note_foreign
from deployments.request.dialogue import read_dialogue
from deployments.request.entries import counting_entries
from deployments.request.fields import MAX_TYPE, read_model, refuse
from deployments.request.inference import ANY_FORMAT, Feature, InferenceRequest, ResponseFormat, Sent
from deployments.request.messages_fields import (
    CHOICES_OF_MESSAGES,
    MESSAGES_FORM,
    ClientTool,
    MessagesBody,
    MessagesParameters,
    OutputConfig,
    Thinking,
)
from deployments.request.response_format import check_apart, check_parameters, check_schema
from deployments.request.sampling import read_parameters
from deployments.request.structs import field_names, read_struct, without_nulls

_FOREIGN = ("context_management", "speed")
_PARTS: Mapping[str, type[Struct]] = {"thinking": Thinking, "output_config": OutputConfig}
_READ_OF_TOOLS = frozenset(field_names(ClientTool))

_ROUTED = CONTROL_KEYS | {"model", "stream"}
_LONGEST_BETAS = 1024

_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
_EFFORTS = ((10_000, "high"), (5_000, "medium"), (0, "low"))
"""For budgets of at least so many tokens of thinking, the effort; the steps are LiteLLM's."""


@counting_entries
def messages_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> InferenceRequest:
    """Read the body of `POST /v1/messages`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = without_nulls(decode_object(body, limits))
    if "thread" in data:  # the tool runner of Anthropic's client asks for one, and does without it
        raise InvalidRequestError(Problem("thread", "is not supported", "the whole conversation", code=NO_THREADS))
    asked = read_struct(data, MessagesBody)
    chat = read_dialogue(asked.system, asked.messages)
    wanted = _read_form(asked)
    passed = MESSAGES_FORM.passed_on(data)
    effort, of_effort = _read_effort(asked)
    features = (*chat.features, *passed.features, *of_effort, *_foreign_features(data))
    turns = [*chat.turns, *([chat.prefix_turn] if chat.prefix else [])]
    tier = {"service_tier": _SERVICE_TIERS.get(asked.service_tier, asked.service_tier)} if asked.service_tier else {}
    request = InferenceRequest(
        inputs={"messages": turns},
        text="",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        prefix_turn=chat.prefix_turn,
        parameters=read_parameters(data, MessagesParameters),
        response_format=wanted,
        model=read_model(asked.model),
        timeout_s=limits.timeout_s,
        user=(asked.metadata.user_id if asked.metadata else None) or "",
        stream=asked.stream,
        passthrough={**passed.fields, **effort, **tier},
        features=tuple({feature.name: feature for feature in features}.values()),
        max_tokens_default=limits.max_tokens,
        sent=_read_sent(data, headers),
    )
    return with_controls(request, data, headers, limits)


def _read_sent(data: Mapping[str, Any], headers: Mapping[str, str]) -> Sent:
    body = {key: value for key, value in data.items() if key not in _ROUTED}
    return Sent("messages", body, headers.get("anthropic-beta", "")[:_LONGEST_BETAS])


def _foreign_features(data: Mapping[str, Any]) -> Iterable[Feature]:
    """Return what no model can be asked for in OpenAI's form, of fields that have been read."""
    found: dict[str, Feature] = {}
    for name in _FOREIGN:
        if data.get(name):
            note_foreign(found, name, name)
    for name, part in _PARTS.items():
        for key, value in data.get(name, {}).items():
            if key not in field_names(part) and value is not None:
                note_foreign(found, f"{name}.{key}", f"{name}.{key[:MAX_TYPE]}")
    choice = data.get("tool_choice") or {}
    for place, tool in enumerate(data.get("tools") or ()):
        if tool.get("type") not in (None, "custom") and choice.get("type") != "none":
            demanded = choice.get("type") == "tool" and choice.get("name") == tool.get("name")
            note_feature(found, Feature(tool["type"], f"tools[{place}].type", essential=demanded, foreign=True))
            if choice.get("type") == "any":
                note_foreign(found, "tool_choice", "tool_choice")
        if tool.get("type") in (None, "custom"):
            for key, value in tool.items():
                if key not in _READ_OF_TOOLS and value is not None:
                    note_foreign(found, key, f"tools[{place}].{key[:MAX_TYPE]}")
    return found.values()


def _read_effort(asked: MessagesBody) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return `reasoning_effort`, as a field, and the feature that it is; nothing where the model is to decide."""
    effort, place = asked.output_config.effort if asked.output_config else None, "output_config.effort"
    if asked.thinking is not None and asked.thinking.type == "enabled":
        budget = asked.thinking.budget_tokens
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise refuse("thinking.budget_tokens", budget, "a whole number from 1024")
        if effort is None:
            effort, place = next(name for least, name in _EFFORTS if budget >= least), "thinking"
    if effort is None:
        return {}, ()
    return {"reasoning_effort": effort}, (Feature("reasoning_effort", place, essential=False),)


def _read_form(asked: MessagesBody) -> ResponseFormat:
    if not (asked.tools or asked.tool_choice or asked.output_config or asked.output_format):
        return ANY_FORMAT
    tools = _read_tools(asked.tools)
    choice, one = _read_choice(asked, tools)
    return ResponseFormat(
        constraint=_read_format(asked),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=False if one else None,
    )


def _read_format(asked: MessagesBody) -> Mapping[str, Any]:
    """Read the schema of the answer. `output_format` is the older name of it."""
    place, wanted = "output_config.format", asked.output_config.format if asked.output_config else None
    if wanted is None:
        place, wanted = "output_format", asked.output_format
    if wanted is None:
        return {}
    check_schema(wanted.schema, f"{place}.schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted.schema}}


def _read_tools(sent: list[dict[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    tools = [_read_tool(tool, f"tools[{place}]") for place, tool in enumerate(sent)]
    named = {place: tool["function"]["name"] for place, tool in enumerate(tools) if tool["type"] == "function"}
    check_apart([*named.values()], [f"tools[{place}].name" for place in named])
    return tuple(tools)


def _read_tool(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return a tool in OpenAI's form; one that Anthropic would run itself stays as it was sent."""
    sort = tool.get("type")
    if sort is not None and sort != "custom":
        if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE or sort == "function":
            raise InvalidRequestError(Problem(f"{place}.type", "is not supported", "custom, or what an upstream takes"))
        return tool
    read = read_struct(tool, ClientTool, place)
    check_parameters(read.input_schema, f"{place}.input_schema")
    function: dict[str, Any] = {"name": read.name, "parameters": read.input_schema}
    if read.description:
        function["description"] = read.description
    if isinstance(read.strict, bool):
        function["strict"] = read.strict
    return {"type": "function", "function": function}


def _read_choice(asked: MessagesBody, tools: tuple[Mapping[str, Any], ...]) -> tuple[str | Mapping[str, Any], bool]:
    """Return `tool_choice` in OpenAI's terms, and whether one call at most is wanted."""
    choice = asked.tool_choice
    if choice is None:
        return "", False
    name, one = choice.name, choice.disable_parallel_tool_use
    names = {tool["function"]["name"] for tool in tools if tool["type"] == "function"}
    match choice.type:
        case None if name is None and not one:
            return "", False
        case "auto" | "none" as plain:
            return plain, one
        case "any" | "tool" if not tools:
            raise InvalidRequestError(Problem("tool_choice", "is given without tools", CHOICES_OF_MESSAGES))
        case "any":  # a tool of its provider's will do, and is no call
            return ("required" if len(names) == len(tools) else "auto" if names else ""), one
        case "tool" if name in names:
            return {"type": "function", "function": {"name": name}}, one
        case "tool" if any(tool.get("name") == name for tool in tools):
            return "auto" if names else "", one
        case "tool":
            raise InvalidRequestError(Problem("tool_choice.name", "is that of none of the tools", CHOICES_OF_MESSAGES))
        case None:
            raise refuse("tool_choice.type", None, CHOICES_OF_MESSAGES)
