"""Reads the contents of messages and the counts of tokens, in each form that providers give them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deployments.policy.extras import fields_beside
from deployments.policy.outcome import Usage

MAX_PARTS = 4096

_TEXT_TYPES = frozenset({"", "text", "output_text", "input_text", "text_delta"})
_THOUGHT_TYPES = frozenset({"thinking", "reasoning", "reasoning_text", "thinking_delta"})


class Content(NamedTuple):
    """A content, or a piece of one, by what its parts are."""

    text: str = ""
    thoughts: str = ""
    refusal: str = ""


def read_content(value: Any) -> Content:
    """Return the texts of a content: a text, a list of parts, or a single part; empty where it has none."""
    if isinstance(value, str):
        return Content(value)
    if value is None:
        return Content()
    if isinstance(value, dict) and isinstance(value.get("parts"), list):  # Gemini's own form
        value = value["parts"]
    parts = value[:MAX_PARTS] if isinstance(value, list) else [value]
    read = [_read_part(part) for part in parts]
    return Content(*("".join(texts) for texts in zip(*read, strict=True))) if read else Content()


def _read_part(part: Any) -> Content:
    if isinstance(part, str):
        return Content(part)
    if not isinstance(part, dict):
        return Content()
    kind = str(part.get("type") or "")
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return Content(refusal=part["refusal"])
    if kind in _THOUGHT_TYPES or part.get("thought") is True:
        return Content(thoughts=_text_within(part))
    return Content(_text_within(part)) if kind in _TEXT_TYPES else Content()


def calls_within(value: Any) -> list[dict[str, Any]]:
    """Return the calls among the parts of a content, as deltas of calls in OpenAI's form.

    Servers hand on the parts of others:

    Anthropic    {"type": "tool_use", "id", "name", "input"}
    Responses    {"type": "function_call", "call_id", "name", "arguments"}
    Vercel       {"type": "tool-call", "toolCallId", "toolName", "args"}
    Gemini       {"functionCall": {"name", "args"}}, with other fields beside it
    Bedrock      {"toolUse": {"toolUseId", "name", "input"}}
    """
    if isinstance(value, dict) and isinstance(value.get("parts"), list):
        value = value["parts"]
    parts = value[:MAX_PARTS] if isinstance(value, list) else [value]
    return [call for part in parts if isinstance(part, dict) and (call := _read_call(part)) is not None]


def _read_call(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = part.get("type") or ""
    key = next((key for key in _CALLED if isinstance(part.get(key), dict)), "")
    if kind not in _CALL_TYPES and not (key and kind in ("", "function")):
        return None
    called = part[key] if key else part
    name, made = _first(called, _CALL_NAMES), _first(called, _CALL_ARGUMENTS)
    if not isinstance(name, str) or not name:
        return None
    beside = fields_beside(part, ("id", "type", *_CALLED)) if key else {}
    return {
        **beside,
        "id": _first(called, _CALL_IDS),
        "type": "function",
        "function": {"name": name, "arguments": made},
    }


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


_CALL_TYPES = ("tool_use", "tool_call", "tool-call", "function_call")
_CALLED = ("functionCall", "function_call", "function", "tool_call", "toolUse", "tool_use")
_CALL_IDS = ("call_id", "id", "toolCallId", "toolUseId")
_CALL_NAMES = ("name", "toolName")
_CALL_ARGUMENTS = ("arguments", "input", "args", "parameters")


def _text_within(part: Mapping[str, Any]) -> str:
    """Return the text of a part; some are objects with a `value`, or lists of parts (Mistral's thinking)."""
    for key in ("text", "thinking", "reasoning", "content"):
        match part.get(key):
            case str(text):
                return text
            case {"value": str(text)}:
                return text
            case list(inner):
                return "".join(
                    each["text"]
                    for each in inner[:MAX_PARTS]
                    if isinstance(each, dict) and isinstance(each.get("text"), str)
                )
    return ""


def read_usage(value: Any) -> Usage | None:
    """Return the token counts of a `usage` object, under any of their names; `None` where they cannot be told.

    Counts may be texts or floats. One of the two that is missing is the rest of `total_tokens`.
    """
    if not isinstance(value, dict):
        return None
    read, written, total = _first_count(value, _READ), _first_count(value, _WRITTEN), _first_count(value, _TOTAL)
    if read is None and written is not None and total is not None:
        read = total - written
    if written is None and read is not None and total is not None:
        written = total - read
    return None if read is None or written is None or min(read, written) < 0 else Usage(read, written)


def read_usage_of_input(value: Any) -> Usage | None:
    """Return the count of what vectors were made of, in a `usage` object: nothing is written, so a total will do."""
    if not isinstance(value, dict):
        return None
    count = _first_count(value, (*_READ, *_TOTAL))
    return None if count is None else Usage(count, 0)


_READ = ("prompt_tokens", "input_tokens", "promptTokens", "promptTokenCount", "prompt_eval_count")
_WRITTEN = ("completion_tokens", "output_tokens", "completionTokens", "candidatesTokenCount", "eval_count")
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount")
_MOST_TOKENS = 1 << 53


def _first_count(usage: Mapping[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        if (count := to_count(usage.get(name))) is not None:
            return count
    return None


def to_count(value: Any) -> int | None:
    """Return a whole number that is not negative, written as a number or as a text; `None` where it is none."""
    if type(value) is int:  # the usual case
        return value if 0 <= value <= _MOST_TOKENS else None
    if isinstance(value, str) and len(value) <= 20:  # noqa: PLR2004 - the longest count
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MOST_TOKENS and value == int(value) else None
