"""Finds a completion that a gateway has wrapped: beside a `code` and a `message`, or counts (DashScope)."""

from collections.abc import Mapping
from typing import Any

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
