"""Answers in Anthropic's Messages format, as whole messages. `message_writer` has the same for streams.

an answer's                  is in a message
text, tool calls             a block of text, a block `tool_use` for each call
reasoning                    a block `thinking` before them
refusal of a demanded form   a block of text, and `stop_reason: refusal`
other fields                 `neverblank.extras`: the format has no place for them
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from msgspec.structs import replace

from deployments.http.completions import finish_reason, provenance, says_nothing_but_calls
from deployments.http.counts import TokenCounts, count_tokens, result_text
from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from deployments.request import InferenceRequest

UNSIGNED = "neverblank:unsigned"
"""The signature of reasoning: the format demands one, and clients send a block without one back to nobody."""

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_STOPPED_AT = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang say which stop text has ended a choice."""

_THOUGHTS = ("reasoning_content", "reasoning")


def message_id(request_id: str) -> str:
    """Return the id of the message that answers the request with this id."""
    return f"msg_{request_id}"


def thoughts_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning in the fields of a message, or in those of a piece of one."""
    return next((text for key in _THOUGHTS if isinstance(text := message.get(key), str) and text), "")


def _text_of(answer: Answer) -> str:
    """Return the text of an answer; empty where it is nothing but tool calls."""
    return "" if says_nothing_but_calls(answer) else result_text(answer)


def tool_use(call: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a tool call in OpenAI's form as a block without its input, and the input as JSON."""
    called: Mapping[str, Any] = call.get(str(call.get("type") or "function")) or {}
    arguments = called.get("arguments") or "{}"
    if "input" in called:  # of a custom tool: any text
        arguments = orjson.dumps({"input": called["input"]}).decode()
    key = call.get("id") or f"toolu_{uuid4().hex}"
    return {"type": "tool_use", "id": key, "name": called.get("name", ""), "input": {}}, arguments


def stop_of(answer: Answer, request: InferenceRequest | None, *, cut: bool = False) -> dict[str, Any]:
    """Return the fields that say why a message ends; `cut` as in `finish_reason`."""
    reason, stopped_at = _STOP_REASONS[finish_reason(answer, cut=cut)], None
    if reason == "end_turn" and request is not None:
        told = [answer.extras.choice.get(key) for key in _STOPPED_AT]
        stopped_at = next((text for text in told if isinstance(text, str) and text in request.parameters.stop), None)
    if stopped_at is not None:
        reason = "stop_sequence"
    if answer.refusal:
        explained = {"type": "refusal", "category": None, "explanation": str(answer.result)}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": explained}
    return {"stop_reason": reason, "stop_sequence": stopped_at}


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `usage` object of OpenAI's form in Anthropic's, which counts what was read from a cache by itself."""
    read, written = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    cached = min(read, _detail(usage, "prompt_tokens_details", "cached_tokens"))
    counts: dict[str, Any] = {
        "input_tokens": read - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": written,
    }
    if thought := min(written, _detail(usage, "completion_tokens_details", "reasoning_tokens")):
        counts["output_tokens_details"] = {"thinking_tokens": thought}
    return counts


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    count = details.get(name) if isinstance(details, Mapping) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def counts_of(answer: Answer, request: InferenceRequest | None, pieces: int = 1) -> TokenCounts:
    """Return the token counts of an answer that was streamed in so many `pieces`."""
    return count_tokens([answer], [request] if request is not None else (), pieces)


def message_provenance(answer: Answer, request_id: str, *, usage_estimated: bool) -> dict[str, Any]:
    """Return the object `neverblank` of a message, with the model that answered and what has no place elsewhere."""
    extras = answer.extras
    left = {key: value for key, value in extras.message.items() if key not in _THOUGHTS}
    beside = replace(extras, message=left, usage={}) if extras else Extras()
    return {
        **provenance(answer, request_id, usage_estimated=usage_estimated),
        "model": answer.model,
        **({"extras": beside.to_json()} if beside else {}),
    }


def message_body(answer: Answer, request: InferenceRequest | None, request_id: str) -> dict[str, Any]:
    """Return a whole message; `request` is `None` where it was not read."""
    counts = counts_of(answer, request)
    return {
        "id": message_id(request_id),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": _content(answer),
        **stop_of(answer, request),
        "usage": usage_of(counts.usage),
        "neverblank": message_provenance(answer, request_id, usage_estimated=counts.estimated),
    }


def _content(answer: Answer) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if thoughts := thoughts_of(answer.extras.message):
        content.append({"type": "thinking", "thinking": thoughts, "signature": UNSIGNED})
    if text := _text_of(answer):
        content.append({"type": "text", "text": text})
    for call in answer.tool_calls:
        block, arguments = tool_use(call)
        content.append({**block, "input": orjson.loads(arguments)})
    return content
