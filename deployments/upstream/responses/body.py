"""The body of a request of OpenAI's Responses.

A request that came in this format is sent on as it came, but for what the router decides: the model, the beginning of
the answer, sampling parameters, and that nothing is stored unless the caller says so. From any other format:

    max_tokens                            `max_output_tokens`
    temperature, top_p                    as they are
    reasoning_effort, verbosity           `reasoning.effort`, `text.verbosity`
    response_format                       `text.format`
    tools, tool_choice                    in their flat form; not `strict` unless the caller says so
    metadata, store, service_tier …       as they are; nothing is stored unless the caller says so
    the text so far                       a message of the assistant's, and one behind it that asks to go on

Reasoning is asked for in its encrypted form, so that the next request can bring it back. Everything else has no place:
it is dropped, and listed.
"""

from collections.abc import Mapping
from typing import Any

from deployments.request import InferenceRequest, ResponseFormat
from deployments.request.inference import Feature
from deployments.request.passing import NEUTRAL
from deployments.request.sampling import SAMPLING_KEYS
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.continuation import ask_to_go_on
from deployments.upstream.family import UnwritableError, Written, form_elsewhere, require_objects
from deployments.upstream.responses.items import to_items

RESPONSES = "responses"
"""Their path below a base URL, and the name of the format."""

ENCRYPTED = "reasoning.encrypted_content"
_CARRIED = frozenset({"max_tokens", "temperature", "top_p"})
_OWN_FIELDS = frozenset({"include", "max_tool_calls", "prompt", "reasoning", "text", "truncation"})
"""Fields of this format's that callers of chats put beside theirs."""

_READ = frozenset({"image", "file", "tools", "reasoning_effort", "verbosity"})
"""The features of a chat that have a place."""


def has_responses_feature(feature: Feature, request: InferenceRequest) -> bool:
    """Return whether a feature of `request`, which is in the form of a chat, has a place in this format."""
    if request.sent.api == RESPONSES:
        return True
    is_chat = not request.raw and not feature.foreign
    return is_chat and (feature.name in _READ or feature.name in _OWN_FIELDS)


def write_responses(request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> Written:
    """Return the body for `request`, and the names of the parameters that have no place in it."""
    body = _as_sent(request, stream=stream) if request.sent.api == RESPONSES else _from_chat(request)
    parameters = request.parameters.sent()
    if "max_tokens" in parameters:
        body["max_output_tokens"] = parameters["max_tokens"]
    body |= {name: parameters[name] for name in ("temperature", "top_p") if name in parameters}
    body.setdefault("store", False)
    body["include"] = [*dict.fromkeys([*(body.get("include") or ()), ENCRYPTED])]
    body["model"] = spec.model
    if request.prefix:
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": request.prefix}]}
        body["input"] = [*body["input"], said, {"type": "message", **ask_to_go_on(request.prefix)}]
    if stream:
        body["stream"] = True
    return Written(RESPONSES, body, tuple(name for name in parameters if name not in _CARRIED))


def _as_sent(request: InferenceRequest, *, stream: bool) -> dict[str, Any]:
    body = {key: value for key, value in request.sent.body.items() if key not in SAMPLING_KEYS}
    return body if stream else {key: value for key, value in body.items() if key != "stream_options"}


def _from_chat(request: InferenceRequest) -> dict[str, Any]:
    passed = request.passthrough
    body: dict[str, Any] = {key: value for key, value in passed.items() if key in _OWN_FIELDS or key in NEUTRAL}
    require_objects(body, ("reasoning", "text"))
    include = body.get("include", [])
    if not isinstance(include, list) or not all(isinstance(each, str) for each in include):
        raise UnwritableError("include", include, "a list of texts")
    turns = request.turns or request.messages or ({"role": "user", "content": request.text},)
    body |= {"user": request.user} if request.user else {}
    if effort := passed.get("reasoning_effort"):
        body["reasoning"] = {**body.get("reasoning", {}), "effort": effort}
    if verbosity := passed.get("verbosity"):
        body["text"] = {**body.get("text", {}), "verbosity": verbosity}
    if form := _form(request.response_format):
        body["text"] = {**body.get("text", {}), "format": form}
    return body | _tools(form_elsewhere(request)) | {"input": to_items(turns)}


def _form(wanted: ResponseFormat) -> dict[str, Any]:
    match wanted.constraint:
        case {"type": "json_schema", "json_schema": {**form}}:
            return {"type": "json_schema", **{str(key): value for key, value in form.items()}}
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case _:
            return {}


def _tools(wanted: ResponseFormat) -> dict[str, Any]:
    if not wanted.tools:
        return {}
    told: dict[str, Any] = {"tools": [_tool(tool) for tool in wanted.tools]}
    if wanted.tool_choice:
        told["tool_choice"] = _choice(wanted.tool_choice)
    if wanted.parallel_tool_calls is not None:
        told["parallel_tool_calls"] = wanted.parallel_tool_calls
    return told


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    match tool:
        case {"type": "function", "function": {**function}}:
            # Without a word, this format holds a call to its schema strictly, which takes few schemas; a chat does not.
            named = {str(key): value for key, value in function.items()}
            return {"type": "function", "parameters": {"type": "object", "properties": {}}, "strict": False, **named}
        case {"type": "custom", "custom": {"format": {"type": "grammar", "grammar": {**grammar}}, **custom}}:
            flat = {str(key): value for key, value in grammar.items()}
            return {
                "type": "custom",
                **{str(key): value for key, value in custom.items()},
                "format": {"type": "grammar", **flat},
            }
        case {"type": "custom", "custom": {**custom}}:
            return {"type": "custom", **{str(key): value for key, value in custom.items()}}
        case _:
            return dict(tool)


def _choice(choice: str | Mapping[str, Any]) -> str | dict[str, Any]:
    match choice:
        case str():
            return choice
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*allowed]}}:
            return {"type": "allowed_tools", "mode": mode, "tools": [_choice(each) for each in allowed]}
        case {"type": "function" | "custom" as kind}:
            named = choice.get(kind)
            return {"type": kind, "name": named["name"] if isinstance(named, Mapping) else choice.get("name")}
        case _:
            return dict(choice)
