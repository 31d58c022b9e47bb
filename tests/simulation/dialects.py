"""The dialects in which scripted upstreams say the same thing; `docs/providers.md` has them all."""

import random
from typing import Any

import orjson

_WORDS = {
    "stop": ("stop", "stop", "STOP", "end_turn", "COMPLETE"),
    "length": ("length", "length", "MAX_TOKENS", "model_length"),
    "tool_calls": ("tool_calls", "tool_calls", "stop", "tool_use", "function_call"),
    "content_filter": ("content_filter", "content_filter", "SAFETY", "sensitive"),
}
_NOT_YET = (None, None, None, "", "null")
_BEFORE = (b"", b"", b"", b": still here\n\n", b"data: {}\n\n", b"event: ping\ndata:\n\n", b"\r\n")


def speak(message: dict[str, Any], reason: str | None, rng: random.Random) -> tuple[dict[str, Any], Any]:
    """A message or a delta, and its finish reason, in one of the dialects."""
    said = dict(message)
    if isinstance(said.get("content"), str) and said["content"] and rng.random() < 0.1:
        said["content"] = [{"type": "text", "text": said["content"]}]
    if said.get("tool_calls"):
        said["tool_calls"] = [_call(call, rng) for call in said["tool_calls"]]
    return said, rng.choice(_WORDS.get(reason, (reason,))) if reason else rng.choice(_NOT_YET)


def as_event(data: Any, rng: random.Random) -> bytes:
    """An event, perhaps behind a heartbeat."""
    written = b"%s%s\n\n" % (rng.choice((b"data: ", b"data: ", b"data:")), orjson.dumps(data))
    return rng.choice(_BEFORE) + (written.replace(b"\n", b"\r\n") if rng.random() < 0.1 else written)


def _call(call: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A whole call, as providers give it that do not stream calls."""
    left_out = rng.choice(((), (), ("index",), ("type",), ("index", "type")))
    said = {key: value for key, value in call.items() if key not in left_out}
    if rng.random() < 0.2:
        said["function"] = {**call["function"], "arguments": orjson.loads(call["function"]["arguments"])}
    return said
