"""The body of a request of Anthropic's Messages.

A request that came in this format is sent on as it came, but for what the router decides: the model, the length, the
beginning of the answer, and what is refused in every conversation. From any other format:

    max_tokens                     the caller's, else the spec's: the format demands one
    temperature                    1 at the most
    temperature, top_p, top_k      left out where the model is to think: they are refused then
    reasoning_effort               `output_config.effort`, and adaptive thinking unless a call is forced
    response_format                `output_config.format`; JSON of no schema is asked for in words
    tools, tool_choice             those that may be called; functions that were called before, where none may be
    user                           `metadata.user_id`
    a field of Anthropic's         as it was sent: `thinking`, `output_config`, `context_management` …

Everything else has no place: it is dropped, and listed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from deployments.request import InferenceRequest, ResponseFormat
from deployments.request.inference import Feature, allowed_names
from deployments.request.sampling import SAMPLING_KEYS
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.family import UnwritableError, Written, require_objects
from deployments.upstream.messages.parts import CACHE, text_blocks
from deployments.upstream.messages.turns import Dialogue, mended

MESSAGES = "messages"
"""Their path below a base URL, and the name of the format."""

SAMPLED = ("temperature", "top_p", "top_k")
_CARRIED = frozenset({*SAMPLED, "max_tokens", "stop"})
_OWN_FIELDS = frozenset(
    {"thinking", "output_config", "context_management", "container", "mcp_servers", "inference_geo", "speed", CACHE}
)
"""Fields of Anthropic's that callers of other formats put beside theirs."""

_READ = frozenset({"image", "file", "reasoning_effort"})
"""The features of a chat that have a place."""

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_TIERS = {"auto": "auto", "default": "standard_only"}
_MOST_HEAT = 1.0
_ANY_ARGUMENTS = {"type": "object", "properties": {}}


def has_messages_feature(feature: Feature, request: InferenceRequest) -> bool:
    """Return whether a feature of `request` has a place in Anthropic's format."""
    return request.sent.api == MESSAGES or feature.name in _READ or feature.name in _OWN_FIELDS


def write_messages(request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> Written:
    """Return the body for `request`, and the names of the parameters that have no place in it."""
    body = _as_sent(request) if request.sent.api == MESSAGES else _from_chat(request)
    parameters = request.parameters.sent()
    dropped = [name for name in parameters if name not in _CARRIED]
    for name in SAMPLED:
        if name in parameters:
            body[name] = parameters[name]
    if body.get("temperature", 0.0) > _MOST_HEAT:
        body["temperature"] = _MOST_HEAT
        dropped.append("temperature")
    if body.get("top_k", 1) < 1:  # all of the tokens
        del body["top_k"]
    if thinks(body) and request.sent.api != MESSAGES:
        hot = [name for name in SAMPLED if body.pop(name, 1.0) != 1.0]
        dropped += [name for name in hot if name not in dropped]
    if request.parameters.stop:
        body["stop_sequences"] = list(request.parameters.stop)
    body |= {"model": spec.model, "max_tokens": parameters.get("max_tokens") or _default_length(body, spec)}
    if request.prefix:
        body["messages"].append({"role": "assistant", "content": _begun(request)})
    if stream:
        body["stream"] = True
    return Written(MESSAGES, body, tuple(dropped))


def _begun(request: InferenceRequest) -> str | list[Any]:
    """Return the beginning of the answer, as it was sent where it is more than a text, with what was written since.

    A message that paused (`pause_turn`) goes on behind what the provider's tools have found.
    """
    last = request.sent.body["messages"][-1] if request.sent.api == MESSAGES else {}
    blocks = last.get("content")
    if last.get("role") != "assistant" or not isinstance(blocks, list):
        return request.prefix.rstrip()
    said = "\n".join(block["text"] for block in blocks if block["type"] == "text")
    if all(block["type"] == "text" for block in blocks) or not request.prefix.startswith(said):
        return request.prefix.rstrip()
    begun = [*mended([last])[0]["content"], *text_blocks(request.prefix[len(said) :])]
    if begun[-1]["type"] == "text":
        begun[-1] = {**begun[-1], "text": begun[-1]["text"].rstrip()}
    return begun


def thinks(body: Mapping[str, Any]) -> bool:
    """Return whether the model is asked to think."""
    thinking = body.get("thinking")
    return isinstance(thinking, Mapping) and thinking.get("type") in {"enabled", "adaptive"}


def instruct(body: dict[str, Any], words: str) -> None:
    """Put an instruction behind the system prompt."""
    system = body.get("system")
    before = text_blocks(system) if isinstance(system, str) else list(system or ())
    body["system"] = [*before, {"type": "text", "text": words}]


def form_in_words(form: Mapping[str, Any]) -> str:
    """Return the instruction to answer with JSON, by the schema in `form` where there is one."""
    words = "Answer with one JSON object and nothing else: no other text, no code fence."
    return f"{words} It must fit this JSON schema: {orjson.dumps(form).decode()}" if form else words


def _default_length(body: Mapping[str, Any], spec: RemoteSpec) -> int:
    """Return the longest answer in tokens where the caller sets none: what is thought counts as well."""
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return spec.default_max_tokens + (budget if isinstance(budget, int) else 0)


def _as_sent(request: InferenceRequest) -> dict[str, Any]:
    body = {key: value for key, value in request.sent.body.items() if key not in SAMPLING_KEYS}
    messages = mended(body["messages"])
    ends = messages[-1] if messages and isinstance(messages[-1], Mapping) else {}
    if request.prefix and ends.get("role") == "assistant":
        messages.pop()  # the beginning of the answer, which goes behind the others again, with what was written since
    return {**body, "messages": messages}


def _from_chat(request: InferenceRequest) -> dict[str, Any]:
    dialogue = Dialogue(request.turns or request.messages or ({"role": "user", "content": request.text},))
    wanted = request.response_format
    body: dict[str, Any] = {key: value for key, value in request.passthrough.items() if key in _OWN_FIELDS}
    require_objects(body, ("thinking", "output_config"))
    body["messages"] = dialogue.messages
    if dialogue.system:
        body["system"] = _plain(dialogue.system)
    body |= _tools(wanted, dialogue.called)
    body |= {"metadata": {"user_id": request.user}} if request.user else {}
    if (tier := _TIERS.get(str(request.passthrough.get("service_tier", "")))) is not None:
        body["service_tier"] = tier
    _set_effort(body, request)
    if wanted.schema:
        body["output_config"] = {
            **body.get("output_config", {}),
            "format": {"type": "json_schema", "schema": wanted.schema},
        }
    elif wanted.is_json:
        instruct(body, form_in_words({}))
    return body


def _set_effort(body: dict[str, Any], request: InferenceRequest) -> None:
    """Ask for the effort that the caller wants, unless it says so in Anthropic's own words."""
    effort = request.passthrough.get("reasoning_effort")
    if not effort or "thinking" in body:
        return
    if not isinstance(effort, str):
        raise UnwritableError("reasoning_effort", effort, "a text")
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    body["output_config"] = {**body.get("output_config", {}), "effort": _EFFORTS.get(effort, effort)}
    if not request.response_format.demands_tool_call:
        body["thinking"] = {"type": "adaptive"}


def _tools(wanted: ResponseFormat, called: Iterable[str]) -> dict[str, Any]:
    tools = [_tool(tool) for tool in wanted.tools if tool["type"] == "function"]
    if allowed := allowed_names(wanted.tool_choice):
        tools = [tool for tool in tools if tool["name"] in allowed]
    if not tools:
        # Calls in the conversation have to be calls of a tool, even where none may be called any more.
        tools = [{"name": name, "input_schema": _ANY_ARGUMENTS} for name in called if name]
        return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}
    choice = _choice(wanted, [tool["name"] for tool in tools])
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function: Mapping[str, Any] = tool["function"]
    written: dict[str, Any] = {
        "name": function["name"],
        "input_schema": {**_ANY_ARGUMENTS, **(function.get("parameters") or {})},
    }
    if function.get("description"):
        written["description"] = function["description"]
    if function.get("strict") is True:
        written["strict"] = True
    cache = tool.get(CACHE) or function.get(CACHE)
    return {**written, CACHE: cache} if isinstance(cache, Mapping) else written


def _choice(wanted: ResponseFormat, names: list[str]) -> dict[str, Any]:
    choice: dict[str, Any] = {}
    match wanted.tool_choice:
        case "none":
            return {"type": "none"}
        case "auto" | {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}:
            choice = {"type": "auto"}
        case "required" | {"type": "allowed_tools"}:
            choice = {"type": "any"}
        case {"type": "function"}:
            choice = {"type": "tool", "name": names[0]}
    if wanted.parallel_tool_calls is False:
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return choice


def _plain(system: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a system prompt as a text where it is nothing else: some servers of this format take no blocks there."""
    if all(block.keys() == {"type", "text"} for block in system):
        return "\n\n".join(block["text"] for block in system)
    return system
