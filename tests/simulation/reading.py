"""Reads a response as the client of its format does, and says what in it is not as the format has it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter, ValidationError

from deployments.policy.blank import is_blank
from tests.simulation.asking import CHAT, MESSAGES, NATIVE
from tests.simulation.client import Exchange


class UnreadableError(Exception):
    """A response is not what its format says."""


@dataclass(slots=True)
class Told:
    """One answer, whatever its format.

    Attributes:
        text: what it says; empty where it only calls tools.
        model: who it says has answered.
        served_by: its tier; empty where its format tells that of the first choice only.
        attempts: as they were told; empty as `served_by`.
        finish_reason: as its format has it.
        refusal: it says that there is no answer in the demanded form.
        tool_calls: of functions.
        writers: of a stream, each model that wrote of it, in order.
    """

    text: str
    model: str
    served_by: str
    degraded: bool
    attempts: list[dict[str, Any]]
    finish_reason: str
    refusal: bool = False
    tool_calls: list[Any] = field(default_factory=list)
    writers: list[str] = field(default_factory=list)

    @property
    def is_last_resort(self) -> bool:
        """Nobody has answered."""
        return self.model == "last_resort"


def read(done: Exchange) -> list[Told]:
    """The answers in a response of 200 or 503.

    Raises:
        UnreadableError: it is not what its format says.
    """
    try:
        if done.ask.style == MESSAGES:
            is_stream = "text/event-stream" in done.headers.get("content-type", "")
            return [_message_stream(done.body) if is_stream else _message(orjson.loads(done.body))]
        if "text/event-stream" in done.headers.get("content-type", ""):
            return [_native_stream(done.body)] if done.ask.style == NATIVE else [_chunks(done)]
        if done.ask.style == NATIVE:
            return [_native(orjson.loads(done.body))]
        return list(_completion(done))
    except (KeyError, TypeError, IndexError, StopIteration, ValidationError, orjson.JSONDecodeError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def read_error(done: Exchange) -> str:
    """What a 4xx explains."""
    try:
        body = orjson.loads(done.body)
        if done.ask.style == NATIVE and is_blank(body["result"]):
            raise UnreadableError("an error without a result")
        return str(body["error"]["message"])
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise UnreadableError(f"an error that cannot be read: {error!r}") from error


def _native(body: dict[str, Any]) -> Told:
    result = body["result"]
    if is_blank(result):
        raise UnreadableError("a blank result")
    calls = list(body.get("tool_calls", ()))
    text = result if isinstance(result, str) else "" if calls else orjson.dumps(result).decode()
    for key, kind in (("request_id", str), ("degraded", bool), ("usage", dict | None)):
        if not isinstance(body[key], kind):
            raise UnreadableError(f"{key} is {body[key]!r}")
    return Told(
        text,
        body["model"],
        body["served_by"],
        body["degraded"],
        body["attempts"],
        body["finish_reason"],
        refusal=body.get("refusal", False),
        tool_calls=calls,
    )


def _events(body: bytes) -> Iterator[tuple[str, str]]:
    if not body.endswith(b"\n\n"):
        raise UnreadableError(f"the last event is cut: {body[-60:]!r}")
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]  # a comment is a sign of life
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            yield fields.get("event", ""), fields["data"]


def _native_stream(body: bytes) -> Told:
    events = [(name, orjson.loads(data)) for name, data in _events(body) if name != "extras"]
    names = [name for name, _ in events]
    if names != ["token"] * (len(names) - 1) + ["done"]:
        raise UnreadableError(f"the events are {names}")
    told = _native(events[-1][1])
    texts = [data for _, data in events[:-1]]
    told.writers = [data["model"] for data in texts]
    said = "".join(data["text"] for data in texts)
    if said != told.text and not (told.tool_calls and is_blank(said)):
        raise UnreadableError(f"it streamed {said!r} and says {told.text!r}")
    if any(data["text"] == "" for data in texts):
        raise UnreadableError("an empty piece")
    return told


def _completion(done: Exchange) -> Iterator[Told]:
    body = orjson.loads(done.body)
    (ChatCompletion if done.ask.style == CHAT else Completion).model_validate_json(done.body, strict=True)
    provenance = body["neverblank"]
    for place, choice in enumerate(body["choices"]):
        first = place == 0
        message = choice["message"] if done.ask.style == CHAT else {"content": choice["text"]}
        refusal = message.get("refusal")
        calls = message.get("tool_calls") or []
        text = message["content"] if refusal is None else refusal
        if is_blank(text) and not calls:
            raise UnreadableError("a blank choice")
        yield Told(
            text or "",
            body["model"] if first else "",
            provenance["served_by"] if first else "",
            provenance["degraded"] if first else False,
            provenance["attempts"] if first else [],
            choice["finish_reason"],
            refusal=refusal is not None,
            tool_calls=calls,
        )


def _chunks(done: Exchange) -> Told:
    data = [data for _, data in _events(done.body)]
    if data[-1] != "[DONE]":
        raise UnreadableError(f"its end is {data[-1][:80]}")
    is_chat = done.ask.style == CHAT
    chunks = [orjson.loads(each) for each in data[:-1]]
    for chunk in chunks:
        if is_chat:
            ChatCompletionChunk.model_validate(chunk)
        else:  # OpenAI's own chunks of completions have a `null` there, which its type does not know
            ended = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in chunk["choices"]]
            Completion.model_validate({**chunk, "choices": ended})
    counts = [chunk for chunk in chunks if not chunk["choices"]]
    if len(counts) != done.ask.include_usage:
        raise UnreadableError(f"{len(counts)} chunks of token counts")
    choices = [(chunk, chunk["choices"][0]) for chunk in chunks if chunk["choices"]]
    ends = [(chunk, choice) for chunk, choice in choices if choice["finish_reason"]]
    if len(ends) != 1 or not choices[-1][1]["finish_reason"]:
        raise UnreadableError(f"{len(ends)} finish reasons")
    deltas: list[Any] = [choice["delta"] if is_chat else {"content": choice["text"]} for _, choice in choices]
    texts = [delta.get("content") or "" for delta in deltas]
    refusals = [delta.get("refusal") or "" for delta in deltas]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    text = "".join(texts) or "".join(refusals)
    if is_blank(text) and not calls:
        raise UnreadableError("a blank stream")
    end, choice = ends[0]
    provenance = end["neverblank"]
    return Told(
        text,
        end["model"],
        provenance["served_by"],
        provenance["degraded"],
        provenance["attempts"],
        choice["finish_reason"],
        refusal=any(refusals),
        tool_calls=calls,
        writers=[chunk["model"] for (chunk, _), said in zip(choices, texts, strict=True) if said],
    )


def _message(body: dict[str, Any]) -> Told:
    message = Message.model_validate(body)
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [
        {"id": block.id, "function": {"name": block.name, "arguments": orjson.dumps(block.input).decode()}}
        for block in message.content
        if block.type == "tool_use"
    ]
    if len(texts) > 1 or not (texts or calls) or any(map(is_blank, texts)):
        raise UnreadableError(f"a message of {[block.type for block in message.content]}")
    provenance = body["neverblank"]
    return Told(
        "".join(texts),
        body["model"],
        provenance["served_by"],
        provenance["degraded"],
        provenance["attempts"],
        provenance["finish_reason"],
        refusal=message.stop_reason == "refusal" and body["model"] == "last_resort",
        tool_calls=calls,
    )


_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def _message_stream(body: bytes) -> Told:
    """The message that its events make: put together as Anthropic's clients do."""
    events = [(name, orjson.loads(data)) for name, data in _events(body) if name != "ping"]
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
    told = _message({**message, "neverblank": end["neverblank"], "model": end["neverblank"]["model"]})
    told.writers = [start["message"]["model"]]
    return told
