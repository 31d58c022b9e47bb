"""Reads Anthropic's Messages format: the fields of `POST /v1/messages`, and of `POST /v1/messages/count_tokens`.

    system, messages               the conversation: see `dialogue`
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
from typing import Annotated, Any

from deployments.policy.problem import NO_THREADS, InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.conversation import note_feature, note_foreign
from deployments.request.dialogue import read_dialogue
from deployments.request.fields import MAX_TYPE, kind, read_flag, read_model, read_name, read_object, refuse
from deployments.request.inference import Feature, InferenceRequest, ResponseFormat, Sent
from deployments.request.passing import read_passed
from deployments.request.response_format import (
    MAX_TOOLS,
    check_apart,
    check_name,
    check_parameters,
    check_schema,
)
from deployments.request.sampling import SAMPLING_KEYS, Parameters, Stops, read_parameters
from deployments.request.structs import does

_NO_EFFECT = frozenset({"cache_control", "diagnostics", "metadata", "user_profile_id", "workspace_id"})
_FOREIGN = frozenset({"context_management", "speed"})
_READ_OF = {
    "thinking": frozenset({"type", "budget_tokens"}),
    "output_config": frozenset({"effort", "format"}),
}
_READ_OF_TOOLS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
"""The fields of objects that are read, or change nothing about an answer."""

MESSAGES_PARAMETERS = (
    CONTROL_KEYS
    | _NO_EFFECT
    | _FOREIGN
    | (frozenset(SAMPLING_KEYS) - {"stop"})
    | {"model", "messages", "system", "tools", "tool_choice", "stop_sequences"}
    | {"stream", "thinking", "output_config", "output_format", "service_tier"}
)
MESSAGES_UNSUPPORTED = frozenset(
    {"audio", "best_of", "logprobs", "max_completion_tokens", "modalities", "n", "prompt", "response_format"}
    | {"stop", "stream_options", "suffix", "top_logprobs"}
)
"""Keys of OpenAI's formats that have another name here, or whose answers have no place in a message."""

LONGEST_TOOL_NAME = 128

_ROUTED = CONTROL_KEYS | {"model", "stream"}
_LONGEST_BETAS = 1024


class _MessagesParameters(Parameters, frozen=True, rename={"stop": "stop_sequences"}):
    """The sampling parameters, by the names that they have in this format."""

    stop: Annotated[Stops, does("Texts that end the answer and are not part of it.")] = ()


_TOOL = '{"name": ..., "description": ..., "input_schema": <JSON schema>}'
_CHOICES = "an object whose `type` is auto, any, none, or tool with the `name` of one of the tools"
_THINKING = "an object whose `type` is enabled (with `budget_tokens`), disabled or adaptive"
_FORMAT = '{"type": "json_schema", "schema": <JSON schema>}'
_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
_EFFORTS = ((10_000, "high"), (5_000, "medium"), (0, "low"))
"""For budgets of at least so many tokens of thinking, the effort; the steps are LiteLLM's."""


def messages_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> InferenceRequest:
    """Read the body of `POST /v1/messages`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    if data.get("thread") is not None:  # the tool runner of Anthropic's client asks for one, and does without it
        raise InvalidRequestError(Problem("thread", "is not supported", "the whole conversation", code=NO_THREADS))
    chat = read_dialogue(data.get("system"), data.get("messages"))
    wanted = _read_form(data)
    passed = read_passed(data, MESSAGES_PARAMETERS, MESSAGES_UNSUPPORTED)
    effort, of_effort = _read_effort(data)
    features = (*chat.features, *passed.features, *of_effort, *_foreign_features(data))
    turns = [*chat.turns, *([chat.prefix_turn] if chat.prefix else [])]
    request = InferenceRequest(
        inputs={"messages": turns},
        text="",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        prefix_turn=chat.prefix_turn,
        parameters=read_parameters(data, _MessagesParameters),
        response_format=wanted,
        model=read_model(data.get("model")),
        timeout_s=limits.timeout_s,
        user=_read_user(data),
        stream=read_flag(data, "stream") or False,
        passthrough={**passed.fields, **effort, **_read_service_tier(data)},
        features=tuple({feature.name: feature for feature in features}.values()),
        max_tokens_default=limits.max_tokens,
        sent=_read_sent(data, headers),
    )
    return with_controls(request, data, headers, limits)


def _read_sent(data: Mapping[str, Any], headers: Mapping[str, str]) -> Sent:
    body = {key: value for key, value in data.items() if key not in _ROUTED and value is not None}
    return Sent("messages", body, headers.get("anthropic-beta", "")[:_LONGEST_BETAS])


def _foreign_features(data: Mapping[str, Any]) -> Iterable[Feature]:
    """Return what no model can be asked for in OpenAI's form, of fields that have been read."""
    found: dict[str, Feature] = {}
    for name in sorted(_FOREIGN):
        if data.get(name):
            note_foreign(found, name, name)
    for name, known in _READ_OF.items():
        for key, value in (data.get(name) or {}).items():
            if key not in known and value is not None:
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


def _read_user(data: Mapping[str, Any]) -> str:
    metadata = read_object(data, "metadata", "an object with user_id (a text)")
    user = metadata.get("user_id")
    if user is not None and not isinstance(user, str):
        raise refuse("metadata.user_id", user, "a text")
    return user or ""


def _read_service_tier(data: Mapping[str, Any]) -> Mapping[str, Any]:
    tier = read_name(data, "service_tier")
    return {"service_tier": _SERVICE_TIERS.get(tier, tier)} if tier else {}


def _read_effort(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return `reasoning_effort`, as a field, and the feature that it is; nothing where the model is to decide."""
    thinking = read_object(data, "thinking", _THINKING)
    config = read_object(data, "output_config", "an object with `effort` or `format`")
    effort, place = config.get("effort"), "output_config.effort"
    if effort is not None and (not isinstance(effort, str) or not 0 < len(effort) <= MAX_TYPE):
        raise refuse(place, effort, "low, medium, high or what an upstream takes")
    sort = thinking.get("type")
    if thinking and not isinstance(sort, str):
        raise refuse("thinking.type", sort, _THINKING)
    if sort == "enabled":
        budget = thinking.get("budget_tokens")
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise refuse("thinking.budget_tokens", budget, "a whole number from 1024")
        if effort is None:
            effort, place = next(name for least, name in _EFFORTS if budget >= least), "thinking"
    if effort is None:
        return {}, ()
    return {"reasoning_effort": effort}, (Feature("reasoning_effort", place, essential=False),)


def _read_form(data: Mapping[str, Any]) -> ResponseFormat:
    tools = _read_tools(data.get("tools"))
    choice, one = _read_choice(data, tools)
    return ResponseFormat(
        constraint=_read_format(data),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=False if one else None,
    )


def _read_format(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the schema of the answer. `output_format` is the older name of it."""
    config = read_object(data, "output_config", "an object with `effort` or `format`")
    place, wanted = "output_config.format", config.get("format")
    if wanted is None:
        place, wanted = "output_format", data.get("output_format")
    if wanted is None:
        return {}
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        raise InvalidRequestError(Problem(place, f"is {kind(wanted)} of another form", _FORMAT))
    check_schema(wanted.get("schema"), f"{place}.schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted["schema"]}}


def _read_tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise refuse("tools", value, f"a list of at most {MAX_TOOLS} tools: {_TOOL}")
    tools = [_read_tool(tool, f"tools[{place}]") for place, tool in enumerate(value)]
    named = {place: tool["function"]["name"] for place, tool in enumerate(tools) if tool["type"] == "function"}
    check_apart([*named.values()], [f"tools[{place}].name" for place in named])
    return tuple(tools)


def _read_tool(tool: Any, place: str) -> Mapping[str, Any]:
    """Return a tool in OpenAI's form; one that Anthropic would run itself stays as it was sent."""
    if not isinstance(tool, Mapping):
        raise refuse(place, tool, _TOOL)
    sort = tool.get("type")
    if sort is not None and sort != "custom":
        if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE or sort == "function":
            raise InvalidRequestError(Problem(f"{place}.type", "is not supported", "custom, or what an upstream takes"))
        return tool
    check_name(tool.get("name"), f"{place}.name", LONGEST_TOOL_NAME)
    check_parameters(tool.get("input_schema"), f"{place}.input_schema")
    function: dict[str, Any] = {"name": tool["name"], "parameters": tool["input_schema"]}
    if described := read_name(tool, "description"):
        function["description"] = described
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _read_choice(data: Mapping[str, Any], tools: tuple[Mapping[str, Any], ...]) -> tuple[str | Mapping[str, Any], bool]:
    """Return `tool_choice` in OpenAI's terms, and whether one call at most is wanted."""
    value = read_object(data, "tool_choice", _CHOICES)
    one = value.get("disable_parallel_tool_use")
    if one is not None and not isinstance(one, bool):
        raise refuse("tool_choice.disable_parallel_tool_use", one, "true or false")
    names = {tool["function"]["name"] for tool in tools if tool["type"] == "function"}
    match value.get("type"):
        case None if not value:
            return "", False
        case "auto" | "none" as plain:
            return plain, bool(one)
        case "any" | "tool" if not tools:
            raise InvalidRequestError(Problem("tool_choice", "is given without tools", _CHOICES))
        case "any":  # a tool of its provider's will do, and is no call
            return ("required" if len(names) == len(tools) else "auto" if names else ""), bool(one)
        case "tool" if isinstance(value.get("name"), str) and value["name"] in names:
            return {"type": "function", "function": {"name": value["name"]}}, bool(one)
        case "tool" if any(tool.get("name") == value.get("name") for tool in tools):
            return "auto" if names else "", bool(one)
        case "tool":
            raise InvalidRequestError(Problem("tool_choice.name", "is that of none of the tools", _CHOICES))
        case _:
            raise InvalidRequestError(Problem("tool_choice.type", "is not supported", _CHOICES))
