"""What gateways put around a completion: an envelope, a finish reason of its own, heartbeats.

A completion may be wrapped beside a `code` and a `message`, or counts (DashScope).
"""

from collections.abc import Mapping
from typing import Any

HEARTBEATS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_ENVELOPES = ("data", "result", "output", "response", "body")


def completion_within(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the completion that an object without choices has in it, with its counts; `None` where it has an error."""
    if value.get("error"):
        return None
    for key in _ENVELOPES:
        inner = value.get(key)
        if isinstance(inner, dict) and isinstance(inner.get("choices"), list) and inner["choices"]:
            return inner if inner.get("usage") or "usage" not in value else {**inner, "usage": value["usage"]}
    return None


def usage_within(value: Mapping[str, Any]) -> Any:
    """Return the counts of a chunk: Groq puts them elsewhere."""
    usage, of_groq = value.get("usage"), value.get("x_groq")
    return of_groq.get("usage") if not usage and isinstance(of_groq, dict) else usage


def with_reason(choices: Any, reason: Any) -> Any:
    """Return the choices with a finish reason that stands beside them, where they have none."""
    if not choices and choices in (None, []):
        return [{"finish_reason": reason}]
    if not isinstance(choices, list):
        return choices
    return [
        {**choice, "finish_reason": reason}
        if isinstance(choice, dict) and not any(choice.get(key) for key in ("finish_reason", "finishReason"))
        else choice
        for choice in choices
    ]


def is_heartbeat(value: Mapping[str, Any], name: str) -> bool:
    """Return whether an event of this name, which has no choices, only says that the connection is alive."""
    kinds = [name, *(value.get(key) for key in ("type", "object"))]
    return not value or any(isinstance(kind, str) and kind in HEARTBEATS for kind in kinds)
