"""Reads the events of a message, and whole messages, as the chunks and completions of OpenAI's chats.

    message_start             the token counts that are known by then
    content_block_start       of a tool call: its id and its name; of other blocks nothing yet
    content_block_delta       text; reasoning; a piece of the arguments of a call
    content_block_stop        of reasoning: the whole block with its signature (`thinking_blocks`), which has to come
                              back unchanged with the next request; of a block of another kind, all of it (`blocks`)
    message_delta             the finish reason, the token counts
    message_stop              the end
    anything else             nothing: new events may be added at any time

So a message is judged as an answer of any other format is: see `stream`. Texts that stand next to each other are one;
where another block stands between them, an empty line does. A caller of this format gets what has no place in a chat as
it was written: of a stream block by block, reasoning among them (`OUTPUT_ITEMS`), of a whole message all blocks
(`WRITTEN_OUTPUT`).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from deployments.policy.blank import is_blank
from deployments.policy.extras import OUTPUT_ITEMS, WRITTEN_OUTPUT, join_pieces, merge
from deployments.request.dialogue import NATIVE_END, OWN_ENDS
from deployments.upstream.contents import to_count
from deployments.upstream.translation import AT_WORK, chunk_of, completion_of

_KNOWN = frozenset(
    {"message", "message_start", "message_delta", "message_stop"}
    | {"content_block_start", "content_block_delta", "content_block_stop"}
)
_OF_CHATS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_BETWEEN = "\n\n"


class _Block(Struct):
    """A block that is open.

    Attributes:
        fields: as it began.
        call: the place of a tool call among the others.
        pieces: of reasoning, its text so far; of a tool that the provider runs, its input as JSON.
        signature: of reasoning, so far.
        is_written: pieces of its arguments have come.
    """

    fields: Mapping[str, Any]
    call: int = 0
    pieces: list[str] = []
    signature: str = ""
    is_written: bool = False

    @property
    def kind(self) -> str:
        return str(self.fields.get("type") or "")

    def whole(self) -> dict[str, Any]:
        """Return all of it, once it has ended; an input that is no JSON is a text."""
        if not self.pieces:
            return dict(self.fields)
        written = "".join(self.pieces)
        try:
            return {**self.fields, "input": orjson.loads(written)}
        except orjson.JSONDecodeError:
            return {**self.fields, "input": written}


class MessageEvents:
    """Translates the events of one response; see `translation.Translator`."""

    def __init__(self, keeps: bool = False) -> None:  # noqa: FBT001, FBT002 - as a translator is made of its format
        """Begin before the first event; `keeps` for a caller of this format."""
        self.is_over = False
        self._keeps = keeps
        self._open: dict[int, _Block] = {}
        self._calls = 0
        self._usage: Mapping[str, Any] = {}
        self._has_text = False
        self._is_apart = False  # another block has come behind the text

    def read(self, value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Return what an event, or a whole message, is in chunks; `None` where it is neither."""
        match value.get("type"):
            case "message":
                return [self._whole(value)]
            case "message_start":
                begun = _object(_object(value, "message"), "usage")
                self._count({name: count for name, count in begun.items() if name != _WRITTEN})  # that has just begun
                return [chunk_of({"role": "assistant"})]
            case "content_block_start":
                started = [chunk_of(delta) for delta in self._start(_place(value), _object(value, "content_block"))]
                return started if started or not self._is_elsewhere(value) else AT_WORK
            case "content_block_delta":
                pieces = [chunk_of(delta) for delta in self._delta(_place(value), _object(value, "delta"))]
                return pieces if pieces or not self._is_elsewhere(value) else AT_WORK
            case "content_block_stop":
                return [chunk_of(delta) for delta in self._stop(_place(value))]
            case "message_delta":
                return [self._end(value)]
            case "message_stop":
                self.is_over = True
                return []
            case str(kind) if kind and kind not in _KNOWN:
                return []
            case _:
                return None

    def _whole(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        deltas: list[dict[str, Any]] = []
        for place, block in enumerate(block for block in blocks if isinstance(block, Mapping)):
            deltas += self._start(place, block)
            deltas += self._stop(place)
        self._count(message.get("usage"))
        written = {WRITTEN_OUTPUT: blocks} if self._keeps and _has_more(blocks) else {}
        return {**completion_of(join_pieces(deltas), **_ending(message)), **written, **self._beside(message)}

    def _is_elsewhere(self, value: Mapping[str, Any]) -> bool:
        """Return whether an event belongs to a tool that the provider runs: so its model is at work."""
        block = self._open.get(_place(value))
        return block is not None and block.kind not in _OF_CHATS

    def _start(self, place: int, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        block = self._open[place] = _Block(fields)
        match block.kind:
            case "text":
                cited = fields.get("citations")
                return [*self._text(fields.get("text")), *([{"citations": cited}] if cited else [])]
            case "thinking":
                return [*self._thoughts(block, fields.get("thinking")), *self._sign(block, fields.get("signature"))]
            case "tool_use":
                self._is_apart = True
                block.call, self._calls = self._calls, self._calls + 1
                called = {"name": fields.get("name"), "arguments": ""}
                return [{"tool_calls": [{"index": block.call, "id": fields.get("id"), "function": called}]}]
            case _:
                self._is_apart = True
                return []

    def _delta(self, place: int, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
        block = self._open.get(place) or self._open.setdefault(place, _Block({"type": "text"}))
        match delta.get("type"):
            case "text_delta":
                return self._text(delta.get("text"))
            case "thinking_delta":
                return self._thoughts(block, delta.get("thinking"))
            case "signature_delta":
                return self._sign(block, delta.get("signature"))
            case "input_json_delta" if block.kind == "tool_use":
                piece = delta.get("partial_json")
                block.is_written = block.is_written or bool(piece)
                return [{"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]}]
            case "input_json_delta" if block.kind not in _OF_CHATS and isinstance(delta.get("partial_json"), str):
                block.pieces.append(delta["partial_json"])
                return []
            case "citations_delta":
                return [{"citations": [delta.get("citation")]}]
            case _:
                return []

    def _stop(self, place: int) -> list[dict[str, Any]]:
        block = self._open.pop(place, None)
        if block is None:
            return []
        match block.kind:
            case "text":
                return []
            case "thinking" if block.signature:
                thinking = {"type": "thinking", "thinking": "".join(block.pieces), "signature": block.signature}
                return self._signed(thinking)
            case "thinking":
                return []
            case "redacted_thinking":
                return self._signed(dict(block.fields))
            case "tool_use":
                given = block.fields.get("input")
                if block.is_written or not given:
                    return []
                written = given if isinstance(given, str) else orjson.dumps(given).decode()
                return [{"tool_calls": [{"index": block.call, "function": {"arguments": written}}]}]
            case _:
                return [{OUTPUT_ITEMS: [{"done": block.whole()}]} if self._keeps else {"blocks": [block.whole()]}]

    def _signed(self, block: dict[str, Any]) -> list[dict[str, Any]]:
        return [{OUTPUT_ITEMS: [{"done": block}]} if self._keeps else {"thinking_blocks": [block]}]

    def _text(self, text: Any) -> list[dict[str, Any]]:
        if not isinstance(text, str) or not text:
            return []
        if self._is_apart and self._has_text:
            text = _BETWEEN + text
        self._is_apart = False
        self._has_text = self._has_text or not is_blank(text)
        return [{"content": text}]

    def _thoughts(self, block: _Block, text: Any) -> list[dict[str, Any]]:
        if not isinstance(text, str) or not text:
            return []
        block.pieces.append(text)
        self._is_apart = True
        return [{"reasoning_content": text}]

    def _sign(self, block: _Block, signature: Any) -> list[dict[str, Any]]:
        if isinstance(signature, str):
            block.signature += signature
        return []

    def _count(self, usage: Any) -> None:
        """Take token counts: those that come later are cumulative, and go over those before."""
        if isinstance(usage, Mapping):
            self._usage = merge(self._usage, usage)

    def _end(self, value: Mapping[str, Any]) -> dict[str, Any]:
        self._count(value.get("usage"))
        ending = _ending(_object(value, "delta"))
        return {**chunk_of({}, **ending), **self._beside(value)}

    def _beside(self, value: Mapping[str, Any]) -> dict[str, Any]:
        told = {"neverblank": value["neverblank"]} if isinstance(value.get("neverblank"), Mapping) else {}
        return {**told, "usage": to_chat_usage(self._usage)} if _WRITTEN in self._usage else told


def _has_more(blocks: list[Any]) -> bool:
    """Return whether blocks have more than a chat has a place for: other kinds, and citations."""
    told = [block for block in blocks if isinstance(block, Mapping)]
    return any(block.get("type") not in _OF_CHATS or block.get("citations") for block in told)


def to_chat_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return token counts in OpenAI's form, in which what was read from a cache, or written into one, is not apart."""
    read, written = to_count(usage.get("input_tokens")), to_count(usage.get(_WRITTEN))
    counts: dict[str, Any] = {}
    cached, stored = (to_count(usage.get(name)) or 0 for name in ("cache_read_input_tokens", _STORED))
    if read is not None:
        counts["prompt_tokens"] = read + cached + stored
        if cached or stored:
            counts["prompt_tokens_details"] = {"cached_tokens": cached, "cache_creation_tokens": stored}
    if written is not None:
        counts["completion_tokens"] = written
        details = usage.get("output_tokens_details")
        if isinstance(details, Mapping) and (thought := to_count(details.get("thinking_tokens"))):
            counts["completion_tokens_details"] = {"reasoning_tokens": thought}
    if read is not None and written is not None:
        counts["total_tokens"] = counts["prompt_tokens"] + written
    return counts


_STORED, _WRITTEN = "cache_creation_input_tokens", "output_tokens"


def _ending(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a choice that say why a message ends; the text that has ended it as vLLM names it."""
    told: dict[str, Any] = {"finish_reason": fields.get("stop_reason")}
    if fields.get("stop_reason") in OWN_ENDS:
        told[NATIVE_END] = fields["stop_reason"]
    if isinstance(fields.get("stop_sequence"), str):
        told["stop_reason"] = fields["stop_sequence"]
    if isinstance(fields.get("stop_details"), Mapping):
        told["stop_details"] = fields["stop_details"]
    return told


def _place(value: Mapping[str, Any]) -> int:
    return to_count(value.get("index")) or 0


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, Mapping) else {}
