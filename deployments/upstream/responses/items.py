"""The turns of a conversation as the input items of OpenAI's Responses.

system, developer, user   a message of that role
assistant                 its reasoning as its model encrypted it, a message, an item for each call
tool, function            the output of a call, by its `call_id`
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from deployments.policy.blank import is_blank

REASONING_ITEMS = "reasoning_items"
"""The field of a chat's message that holds reasoning as it was given: it has to come back unchanged."""

FOR_THE_CALLER = frozenset(
    {"computer_call", "local_shell_call", "shell_call", "apply_patch_call", "mcp_approval_request"}
    | {"image_generation_call"}
)
"""The kinds of items that are an answer without a text: the caller has to act upon them, or they are the picture."""


def to_items(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return `turns`, in OpenAI's form of chats, as items."""
    items: list[dict[str, Any]] = []
    kinds: dict[str, str] = {}
    last = ""
    for turn in turns:
        match turn.get("role"):
            case "assistant":
                calls = _calls(turn, len(items))
                kinds |= {call["call_id"]: call["type"] for call in calls}
                last = calls[-1]["call_id"] if calls else last
                items += [*_reasoning(turn), *_message("assistant", _said(turn)), *calls]
            case "tool" | "function":
                key = str(turn.get("tool_call_id") or last)
                kind = kinds.get(key, "function_call")
                items.append({"type": f"{kind}_output", "call_id": key, "output": _output(turn.get("content"))})
            case role:
                items += _message(str(role or "user"), _parts(turn.get("content")))
    return items


def without_reasoning_items(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return `items` without the reasoning of earlier turns."""
    return [item for item in items if item.get("type") != "reasoning"]


def _message(role: str, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "message", "role": role, "content": content}] if content else []


def _said(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    refusal = turn.get("refusal")
    refused = [{"type": "refusal", "refusal": refusal}] if isinstance(refusal, str) and refusal else []
    return [{"type": "output_text", "text": text} for text in _texts(turn.get("content"))] or refused


def _reasoning(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = turn.get(REASONING_ITEMS)
    return [dict(item) for item in told if isinstance(item, Mapping)] if isinstance(told, list) else []


def _calls(turn: Mapping[str, Any], place: int) -> list[dict[str, Any]]:
    calls = [call for call in turn.get("tool_calls") or () if isinstance(call, Mapping)]
    if isinstance(old := turn.get("function_call"), Mapping) and not calls:
        calls = [{"function": old}]
    return [_call(call, f"call_{place}_{number}") for number, call in enumerate(calls)]


def _call(call: Mapping[str, Any], key: str) -> dict[str, Any]:
    called: Mapping[str, Any] = call.get(str(call.get("type") or "function")) or {}
    begun = {"call_id": str(call.get("id") or key), "name": str(called.get("name") or "")}
    if "input" in called:
        return {"type": "custom_tool_call", **begun, "input": called["input"]}
    return {"type": "function_call", **begun, "arguments": called.get("arguments") or "{}"}


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [] if is_blank(content) else [content]
    parts = content if isinstance(content, Sequence) else ()
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, Mapping)]
    return [text for text in texts if isinstance(text, str) and not is_blank(text)]


def _output(content: Any) -> str | list[dict[str, Any]]:
    """Return the output of a call: a text, or parts where it holds more than texts."""
    parts = _parts(content)
    if all(part["type"] == "input_text" for part in parts):
        return "\n".join(str(part.get("text") or "") for part in parts)
    return parts


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}] if content else []
    parts = content if isinstance(content, Sequence) else ()
    return [_part(part) for part in parts if isinstance(part, Mapping)]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "input_text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url), **more}}:
            return {"type": "input_image", "image_url": url, "detail": more.get("detail") or "auto"}
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "input_image", "image_url": url, "detail": "auto"}
        case {"type": "file", "file": {**file}}:
            return {"type": "input_file", **{str(key): value for key, value in file.items()}}
        case {"type": str()}:
            return dict(part)
        case _:
            return {"type": "input_text", "text": orjson.dumps(part).decode()}
