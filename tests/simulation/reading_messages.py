"""Reads a message of Anthropic's, whole or as its events."""

from typing import Any

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from deployments.policy.blank import is_blank
from tests.simulation.told import Told, UnreadableError, events_of, told_by


def read_message(body: dict[str, Any]) -> Told:
    """A whole message."""
    message = Message.model_validate(body)
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [
        {"id": block.id, "function": {"name": block.name, "arguments": orjson.dumps(block.input).decode()}}
        for block in message.content
        if block.type == "tool_use"
    ]
    if len(texts) > 1 or not (texts or calls) or any(map(is_blank, texts)):
        raise UnreadableError(f"a message of {[block.type for block in message.content]}")
    refusal = message.stop_reason == "refusal" and body["model"] == "last_resort"
    return told_by(body, "".join(texts), refusal=refusal, calls=calls)


_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def read_message_stream(body: bytes) -> Told:
    """The message that its events make: put together as Anthropic's clients do."""
    events = [(name, orjson.loads(data)) for name, data in events_of(body) if name != "ping"]
    (first, start), *blocks, (delta, end), (last, _) = events
    if (first, delta, last) != ("message_start", "message_delta", "message_stop"):
        raise UnreadableError(f"the events are {[name for name, _ in events]}")
    for name, data in events:
        _EVENTS.validate_python(data)
        if name != data["type"]:
            raise UnreadableError(f"{name} is a {data['type']}")
    content: list[dict[str, Any]] = []
    is_open = False
    for name, data in blocks:
        if is_open is (name == "content_block_start") or data["index"] != len(content) - is_open:
            raise UnreadableError(f"{name} of block {data['index']} behind {len(content)} blocks")
        match name:
            case "content_block_start":
                content.append({**data["content_block"], "pieces": ""})
            case "content_block_delta":
                kind = data["delta"]["type"].removesuffix("_delta").replace("input_json", "partial_json")
                content[-1]["pieces"] += data["delta"][kind] if kind != "signature" else ""
        is_open = name != "content_block_stop"
    for block in content:
        pieces = block.pop("pieces")
        block.update({"input": orjson.loads(pieces)} if block["type"] == "tool_use" else {block["type"]: pieces})
    message = {**start["message"], **end["delta"], "usage": end["usage"], "content": content}
    told = read_message({**message, "neverblank": end["neverblank"], "model": end["neverblank"]["model"]})
    told.writers = [start["message"]["model"]]
    return told
