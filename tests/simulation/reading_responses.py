"""Reads a response of OpenAI's Responses, whole or as its events."""

from itertools import count
from typing import Any

import orjson
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from deployments.policy.blank import is_blank
from tests.simulation.told import Told, UnreadableError, events_of, told_by

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_LAST = {"response.completed": "completed", "response.incomplete": "incomplete"}


def read_response(body: dict[str, Any]) -> Told:
    """A whole response."""
    response = Response.model_validate(body, strict=True)
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    texts = [part.refusal if part.type == "refusal" else part.text for part in parts]
    calls = [
        {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}}
        for item in response.output
        if item.type == "function_call"
    ]
    if len(texts) > 1 or not (texts or calls) or any(map(is_blank, texts)):
        raise UnreadableError(f"a response of {[item.type for item in response.output]}")
    if response.status not in _LAST.values() or (response.incomplete_details is None) != (
        response.status == "completed"
    ):
        raise UnreadableError(f"{response.status} for {response.incomplete_details}")
    return told_by(body, "".join(texts), refusal=any(part.type == "refusal" for part in parts), calls=calls)


def read_response_stream(body: bytes) -> Told:
    """The response at the end of its events, which has to be what they said one by one."""
    events = [(name, orjson.loads(data)) for name, data in events_of(body)]
    for number, (name, data) in zip(count(), events, strict=False):
        _EVENTS.validate_python(data)
        if (name, number) != (data["type"], data["sequence_number"]):
            raise UnreadableError(f"{name} is a {data['type']} of the number {data['sequence_number']}")
    (first, start), (second, _), *between, (last, end) = events
    if (first, second) != ("response.created", "response.in_progress") or last not in _LAST:
        raise UnreadableError(f"the events are {[name for name, _ in events]}")
    if end["response"]["status"] != _LAST[last]:
        raise UnreadableError(f"{last} of a response that is {end['response']['status']}")
    if (items := _items(between)) != end["response"]["output"]:
        raise UnreadableError(f"it streamed {items} and says {end['response']['output']}")
    told = read_response(end["response"])
    told.writers = [start["response"]["model"]]
    return told


def _items(events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The items that the events have written, one behind the other, each held against its own pieces."""
    items: list[dict[str, Any]] = []
    pieces: str | None = None  # of the item that is open
    for name, data in events:
        if data["output_index"] != len(items) or (pieces is None) is not (name == "response.output_item.added"):
            raise UnreadableError(f"{name} of item {data['output_index']} behind {len(items)} items")
        match name.split(".")[1:]:
            case ["output_item", "added"]:
                pieces = ""
            case [_, "delta"]:
                pieces = (pieces or "") + data["delta"]
            case ["output_item", "done"]:
                if (said := _said(data["item"])) != pieces:
                    raise UnreadableError(f"it streamed {pieces!r} of the item {said!r}")
                items.append(data["item"])
                pieces = None
    if pieces is not None:
        raise UnreadableError(f"an item without its end: {pieces!r}")
    return items


def _said(item: dict[str, Any]) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    parts = item.get("summary") or item["content"]
    return "".join(str(part.get("text") or part.get("refusal")) for part in parts)
