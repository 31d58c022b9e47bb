"""OpenAI's chat format, as upstreams speak it: bodies of requests, and completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.outcome import WITHHELD, Answered, Blank, Failed, Outcome, Usage, answered_or_blank
from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec

FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "deadline": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
"""The finish reasons of upstreams, in our terms. An unknown one becomes `length`, as the answer may be incomplete."""


def to_body(request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> dict[str, Any]:
    """Return the body of `POST chat/completions` for `request`.

    A text is sent as a single user turn. Parameters that the caller has not set are left out. Fields that are only
    passed on go beside them; none of them replaces a field that is set here.
    """
    parameters, response_format = request.parameters, request.response_format
    turns: Sequence[Mapping[str, Any]] = request.turns or request.messages
    body: dict[str, Any] = {
        **request.passthrough,
        "model": spec.model,
        "messages": [dict(turn) for turn in turns] or [{"role": "user", "content": request.text}],
    }
    optional = {
        spec.max_tokens_field: parameters.max_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "stop": list(parameters.stop),
        "seed": parameters.seed,
        "presence_penalty": parameters.presence_penalty,
        "frequency_penalty": parameters.frequency_penalty,
        "logit_bias": dict(parameters.logit_bias),
        "response_format": dict(response_format.constraint),
        "tools": list(response_format.tools),
        "tool_choice": response_format.tool_choice,
        "parallel_tool_calls": response_format.parallel_tool_calls,
        "user": request.user,
    }
    # An empty list, object or text means that the caller did not set the key; 0 and False are values.
    body |= {key: value for key, value in optional.items() if value is not None and value not in ([], {}, "")}
    if stream:
        options = request.passthrough.get("stream_options", {})
        body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
    if request.prefix:
        body["messages"].append({**request.prefix_turn, "role": "assistant", "content": request.prefix})
        if spec.prefill == "continue":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def read_completion(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a completion."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return Failed("its response has no choices with a message")
    usage = read_usage(data.get("usage"))
    finish_reason = read_finish_reason(choice.get("finish_reason"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and not is_blank(refusal):
        return Answered(refusal, usage, "content_filter")
    content = read_content(message.get("content"))
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return called(content, calls, usage)
    if is_blank(content):
        if finish_reason == "content_filter":
            return Answered(WITHHELD, usage, finish_reason)
        reasoned = message.get("reasoning_content") or message.get("reasoning")
        said = "it reasoned, and said nothing" if reasoned else "it returned no visible content"
        return Blank(said, cut=finish_reason == "length")
    return answered_or_blank(content, usage, finish_reason)


def called(content: str, calls: list[Any], usage: Usage | None) -> Answered | Failed:
    """Return an answer with tool calls; `Failed` where a call is malformed."""
    if not all(is_tool_call(call) for call in calls):
        return Failed("its tool calls are malformed")
    result: Any = {"tool_calls": calls} if is_blank(content) else content
    return Answered(result, usage, "tool_calls", tuple(calls))


def is_tool_call(call: Any) -> bool:
    """Return whether `call` is a function call with an id, a name and arguments."""
    function = call.get("function") if isinstance(call, Mapping) else None
    return (
        isinstance(function, Mapping)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and bool(function["name"])
        and isinstance(function.get("arguments"), str)
    )


def read_content(value: Any) -> str:
    """Return the text of a content, which may be a text or a list of parts; empty where there is no text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    texts = [part.get("text") for part in value if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def read_finish_reason(value: Any) -> str:
    """Return a finish reason in our terms; `stop` where a complete response names none."""
    return "stop" if value is None else FINISH_REASONS.get(str(value).lower(), "length")


def read_usage(value: Any) -> Usage | None:
    """Return token counts; `None` where they are missing or malformed."""
    if not isinstance(value, Mapping):
        return None
    read, written = value.get("prompt_tokens"), value.get("completion_tokens")
    if not isinstance(read, int) or not isinstance(written, int) or min(read, written) < 0:
        return None
    return Usage(read, written)
