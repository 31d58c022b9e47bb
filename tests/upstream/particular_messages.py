"""Upstreams of Anthropic's Messages that are particular about what they take, in the words in which they say so."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.upstream.exchange import Exchange
from tests.upstream.scenarios import Scenario, healthy, scenario

Check = Callable[[Mapping[str, Any]], str]
"""Returns what is wrong with a body; empty where nothing is."""


def particular(check: Check) -> Scenario:
    async def play(exchange: Exchange) -> None:
        if fault := check(exchange.body):
            await exchange.error(400, fault)
        else:
            await healthy(exchange)

    return play


def blocks_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _fault_of_block(block: Mapping[str, Any]) -> str:
    if block["type"] == "text" and not block["text"].strip():
        return ": text content blocks must contain non-whitespace text"
    if block["type"] == "thinking" and not re.fullmatch(r"[\w+/=]+", block.get("signature", "")):
        return ".content.0: Invalid `signature` in `thinking` block"
    if block["type"] == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
        return ".content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    return ""


def fault_of_form(body: Mapping[str, Any]) -> str:
    """What Anthropic refuses in every conversation."""
    if "max_tokens" not in body:
        return "max_tokens: Field required"
    if not 0 <= body.get("temperature", 1) <= 1:
        return "temperature: range: 0..1"
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        return "messages: first message must use the user role"
    asked: set[str] = set()
    for place, message in enumerate(messages):
        if message["role"] not in {"user", "assistant", "system"} or not message["content"]:
            return f"messages.{place}: all messages must have non-empty content"
        if fault := "".join(map(_fault_of_block, blocks_of(message))):
            return f"messages.{place}{fault}"
        begun = [block["tool_use_id"] for block in blocks_of(message) if block["type"] == "tool_result"]
        leading = blocks_of(message)[: len(begun)]
        if set(begun) != asked or any(block["type"] != "tool_result" for block in leading):
            return f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks immediately after"
        asked = {block["id"] for block in blocks_of(message) if block["type"] == "tool_use"}
    last = blocks_of(messages[-1])[-1]
    if messages[-1]["role"] == "assistant" and last["type"] == "text" and last["text"] != last["text"].rstrip():
        return "messages: final assistant content cannot end with trailing whitespace"
    used = any(block["type"] == "tool_use" for message in messages for block in blocks_of(message))
    if used and not body.get("tools"):
        return "Requests which have `tool_use` or `tool_result` blocks in messages must define tools"
    return ""


def _wants_thoughts(body: Mapping[str, Any]) -> str:
    calling = [each for each in body["messages"] if any(block["type"] == "tool_use" for block in blocks_of(each))]
    if "thinking" in body and any(blocks_of(each)[0]["type"] != "thinking" for each in calling):
        return (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block."
        )
    return ""


def _other_signature(body: Mapping[str, Any]) -> str:
    thoughts = [block for each in body["messages"] for block in blocks_of(each) if block["type"] == "thinking"]
    return "messages.1.content.0: Invalid `signature` in `thinking` block" if thoughts else ""


def _no_system_turns(body: Mapping[str, Any]) -> str:
    turns = [place for place, each in enumerate(body["messages"]) if each["role"] == "system"]
    return f"messages.{turns[0]}: role 'system' is not supported on this model" if turns else ""


def _short(body: Mapping[str, Any]) -> str:
    most = body["max_tokens"]
    named = "which is the maximum allowed number of output tokens for this model"
    return f"max_tokens: {most} > 1000, {named}" if most > 1000 else ""


def _no_prefill(body: Mapping[str, Any]) -> str:
    refused = "This model does not support assistant message prefill. The conversation must end with a user message."
    return refused if body["messages"][-1]["role"] == "assistant" else ""


def _no_sampling(body: Mapping[str, Any]) -> str:
    return "`temperature` is deprecated for this model." if "temperature" in body else ""


def _not_both(body: Mapping[str, Any]) -> str:
    both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    return both if {"temperature", "top_p"} <= body.keys() else ""


def _no_blank_stops(body: Mapping[str, Any]) -> str:
    blank = any(not stop.strip() for stop in body.get("stop_sequences", ()))
    return "stop_sequences: each stop sequence must contain non-whitespace" if blank else ""


def _no_adaptive(body: Mapping[str, Any]) -> str:
    refused = body.get("thinking", {}).get("type") == "adaptive"
    return "adaptive thinking is not supported on this model" if refused else ""


def _no_budget(body: Mapping[str, Any]) -> str:
    use = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
    refused = body.get("thinking", {}).get("type") == "enabled"
    return f'"thinking.type.enabled" is not supported for this model. {use}' if refused else ""


def _no_such_effort(body: Mapping[str, Any]) -> str:
    level = body.get("output_config", {}).get("effort")
    return f"This model does not support effort level '{level}'." if level in {"xhigh", "max"} else ""


def _no_effort(body: Mapping[str, Any]) -> str:
    return "This model does not support the effort parameter." if "effort" in body.get("output_config", {}) else ""


def _no_such_schema(body: Mapping[str, Any]) -> str:
    refused = "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
    return refused if "format" in body.get("output_config", {}) else ""


OF_MESSAGES: dict[str, Scenario] = {
    "messages-strict": particular(fault_of_form),
    "messages-no-blank-stops": particular(_no_blank_stops),
    "messages-wants-thoughts": particular(_wants_thoughts),
    "messages-other-signature": particular(_other_signature),
    "messages-no-system-turns": particular(_no_system_turns),
    "messages-short": particular(_short),
    "messages-no-prefill": particular(_no_prefill),
    "messages-no-sampling": particular(_no_sampling),
    "messages-not-both": particular(_not_both),
    "messages-no-adaptive": particular(_no_adaptive),
    "messages-no-budget": particular(_no_budget),
    "messages-no-effort": particular(_no_effort),
    "messages-no-such-effort": particular(_no_such_effort),
    "messages-no-such-schema": particular(_no_such_schema),
}


@scenario("messages-limited")
async def limited(exchange: Exchange) -> None:
    reset = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    headers = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": reset}
    await exchange.error(429, "This request would exceed your rate limit.", **headers)
