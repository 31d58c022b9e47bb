"""Answers in Anthropic's Messages format, as whole messages. `message_writer` has the same for streams.

an answer's                  is in a message
text, tool calls             a block of text, a block `tool_use` for each call
reasoning                    a block `thinking` before them
refusal of a demanded form   a block of text, and `stop_reason: refusal`
blocks of a tool that a      blocks, where the model speaks this format, too
provider runs, citations
other fields                 `neverblank.extras`: the format has no place for them
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from deployments.http.beside import THOUGHTS, counts_of, detail_of, provenance_and_extras, thoughts_of, written_text
from deployments.http.completions import finish_reason
from deployments.http.written_output import items_of, written_of
from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from deployments.request import InferenceRequest
from deployments.request.dialogue import NATIVE_END, OWN_ENDS, UNSIGNED

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_STOPPED_AT = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang say which stop text has ended a choice."""

_SIGNED = "thinking_blocks"
PLACED = (*THOUGHTS, _SIGNED)
"""The fields of a message of OpenAI's form that have a place among the blocks."""

_TEXT_OF_BLOCKS, _CALLS = {"text": "text"}, frozenset({"tool_use"})
OF_REASONING = frozenset({"thinking", "redacted_thinking"})


def message_id(request_id: str) -> str:
    """Return the id of the message that answers the request with this id."""
    return f"msg_{request_id}"


def blocks_before(extras: Extras) -> list[dict[str, Any]]:
    """Return the blocks that stand before the text: reasoning, and what a provider's tools have done.

    Those of a model that signs its reasoning are its own, unchanged: it wants them back like that.
    """
    if items := [block for _, block in items_of(extras)]:
        return items
    message = extras.message
    told = message.get(_SIGNED)
    blocks = [dict(block) for block in told if isinstance(block, Mapping)] if isinstance(told, list) else []
    if signed := [block for block in blocks if block.get("type") in OF_REASONING]:
        return signed
    thoughts = thoughts_of(message)
    return [{"type": "thinking", "thinking": thoughts, "signature": UNSIGNED}] if thoughts else []


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
    if reason == "max_tokens" and (own := answer.extras.choice.get(NATIVE_END)) in OWN_ENDS:
        reason = str(own)
    if stopped_at is not None:
        reason = "stop_sequence"
    if answer.refusal:
        explained = {"type": "refusal", "category": None, "explanation": str(answer.result)}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": explained}
    return {"stop_reason": reason, "stop_sequence": stopped_at}


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `usage` object of OpenAI's form in Anthropic's, which counts what was read from a cache by itself."""
    read, written = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    cached = min(read, detail_of(usage, "prompt_tokens_details", "cached_tokens"))
    stored = min(read - cached, detail_of(usage, "prompt_tokens_details", "cache_creation_tokens"))
    counts: dict[str, Any] = {
        "input_tokens": read - cached - stored,
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": cached,
        "output_tokens": written,
    }
    if thought := min(written, detail_of(usage, "completion_tokens_details", "reasoning_tokens")):
        counts["output_tokens_details"] = {"thinking_tokens": thought}
    return counts


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
        "neverblank": provenance_and_extras(answer, request_id, usage_estimated=counts.estimated, placed=PLACED),
    }


def _content(answer: Answer) -> list[dict[str, Any]]:
    if written := written_of(answer, _TEXT_OF_BLOCKS, _CALLS):
        return written
    content = blocks_before(answer.extras)
    if text := written_text(answer):
        content.append({"type": "text", "text": text})
    for call in answer.tool_calls:
        block, arguments = tool_use(call)
        content.append({**block, "input": orjson.loads(arguments)})
    return content
