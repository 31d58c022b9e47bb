"""Reads a response as the client of its format does, and says what in it is not as the format has it."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from deployments.policy.blank import is_blank
from tests.simulation.asking import CHAT, COMPLETION, MESSAGES, NATIVE, RESPONSES
from tests.simulation.client import Exchange
from tests.simulation.reading_messages import read_message, read_message_stream
from tests.simulation.reading_responses import read_response, read_response_stream
from tests.simulation.told import Told, UnreadableError, events_of


def read(done: Exchange) -> list[Told]:
    """The answers in a response of 200 or 503.

    Raises:
        UnreadableError: it is not what its format says.
    """
    is_stream = "text/event-stream" in done.headers.get("content-type", "")
    try:
        if done.ask.style in (CHAT, COMPLETION):
            return list(_chunks(done) if is_stream else _completion(done))
        read_whole, read_stream = _READERS[done.ask.style]
        return [read_stream(done.body) if is_stream else read_whole(orjson.loads(done.body))]
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


def _native_stream(body: bytes) -> Told:
    events = [(name, orjson.loads(data)) for name, data in events_of(body) if name != "extras"]
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


def _chunks(done: Exchange) -> Iterator[Told]:
    data = [data for _, data in events_of(done.body)]
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
    of_choices: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            of_choices.setdefault(choice["index"], []).append({**chunk, **choice})
    if sorted(of_choices) != list(range(len(of_choices))):
        raise UnreadableError(f"the choices are {sorted(of_choices)}")
    yield from (_choice(of_choices[place], is_chat=is_chat) for place in sorted(of_choices))


def _choice(pieces: list[dict[str, Any]], *, is_chat: bool) -> Told:
    """The answer in the pieces of one choice, each with the fields of its chunk."""
    end = pieces[-1]
    if [piece for piece in pieces if piece["finish_reason"]] != [end]:
        raise UnreadableError(f"the finish reasons are {[piece['finish_reason'] for piece in pieces]}")
    deltas: list[Any] = [piece["delta"] if is_chat else {"content": piece["text"]} for piece in pieces]
    texts = [delta.get("content") or "" for delta in deltas]
    refusals = [delta.get("refusal") or "" for delta in deltas]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    text = "".join(texts) or "".join(refusals)
    if is_blank(text) and not calls:
        raise UnreadableError("a blank stream")
    provenance = end["neverblank"]
    return Told(
        text,
        end["model"],
        provenance["served_by"],
        provenance["degraded"],
        provenance["attempts"],
        end["finish_reason"],
        refusal=any(refusals),
        tool_calls=calls,
        writers=[piece["model"] for piece, said in zip(pieces, texts, strict=True) if said],
    )


_READERS: dict[str, tuple[Callable[[dict[str, Any]], Told], Callable[[bytes], Told]]] = {
    NATIVE: (_native, _native_stream),
    MESSAGES: (read_message, read_message_stream),
    RESPONSES: (read_response, read_response_stream),
}
"""How the formats that have one answer each are read, whole and streamed."""
