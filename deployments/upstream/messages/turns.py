"""The turns of a conversation as Anthropic's messages, by the rules that it holds them to.

the roles alternate, a user's comes first    turns of one role become one message; "." where nobody has asked yet
no text is blank                             blank ones are left out, and messages of nothing else
results come at once, and before texts       those of all calls of one turn stand first in the next message
a call has an id of letters, digits, _, -    another id is written otherwise, the same way in the call and its result
its arguments are an object
`system` is not a role of all models         system turns before all others are the system prompt; a later one stays
                                             in its place, as a text of the user's in `<system>`
reasoning bears a signature                  that of another model is left out: it has none that Anthropic knows
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.request.dialogue import UNSIGNED
from deployments.upstream.decoding import decode_json
from deployments.upstream.messages.parts import CACHE, is_kept, text_blocks, to_blocks

_ID = re.compile(r"[^A-Za-z0-9_-]")
_NOBODY = {"role": "user", "content": [{"type": "text", "text": "."}]}
_REASONING = ("thinking", "redacted_thinking")


class Dialogue:
    """Anthropic's form of a conversation, as it is put together from turns.

    Attributes:
        system: the blocks of the system prompt.
        messages: the messages.
        called: the names of all functions that were called, in the order of their first calls.
    """

    def __init__(self, turns: Sequence[Mapping[str, Any]]) -> None:
        """Read `turns`, in OpenAI's form."""
        self.system: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.called: dict[str, None] = {}
        self._ids: dict[str, str] = {}
        self._last_id = ""
        for turn in turns:
            self._read(turn)
        if not self.messages and self.system:  # nothing but instructions: they are what is asked
            self._add("user", self.system)
            self.system = []
        if self.messages and self.messages[0]["role"] != "user":
            self.messages.insert(0, _NOBODY)

    def _read(self, turn: Mapping[str, Any]) -> None:
        role, blocks = turn.get("role"), to_blocks(turn.get("content"))
        match role:
            case "system" | "developer" if not self.messages:
                self.system += _marked(turn, blocks)
            case "system" | "developer":
                self._add("user", _marked(turn, as_instructions(blocks)))
            case "assistant":
                self._add("assistant", _marked(turn, [*_reasoning(turn), *blocks, *self._calls(turn)]))
            case "tool" | "function":
                key = str(turn.get("tool_call_id") or self._last_id)
                result: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._id(key)}
                self._add("user", _marked(turn, [{**result, "content": blocks} if blocks else result]))
            case _:
                self._add("user", _marked(turn, blocks))

    def _add(self, role: str, blocks: list[dict[str, Any]]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            blocks = [*self.messages.pop()["content"], *blocks]
        if role == "user":
            blocks.sort(key=lambda block: block["type"] != "tool_result")
        self.messages.append({"role": role, "content": blocks})

    def _calls(self, turn: Mapping[str, Any]) -> list[dict[str, Any]]:
        calls = [call for call in turn.get("tool_calls") or () if isinstance(call, Mapping)]
        if isinstance(old := turn.get("function_call"), Mapping) and not calls:
            calls = [{"function": old}]
        refusal = turn.get("refusal")
        said = text_blocks(refusal) if isinstance(refusal, str) and not turn.get("content") else []
        return [*said, *(self._call(call) for call in calls)]

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        called: Mapping[str, Any] = call.get(str(call.get("type") or "function")) or {}
        name = str(called.get("name") or "")
        self.called.setdefault(name)
        self._last_id = str(call.get("id") or f"call_{len(self._ids)}")
        given = called["input"] if "input" in called else called.get("arguments")
        return {"type": "tool_use", "id": self._id(self._last_id), "name": name, "input": _arguments(given)}

    def _id(self, key: str) -> str:
        """Return `key` in the letters that an id may have; two that differ stay different."""
        if key not in self._ids:
            written = _ID.sub("_", key) or "call"
            taken = self._ids.values()
            self._ids[key] = written if written not in taken else f"{written}_{len(self._ids)}"
        return self._ids[key]


def as_instructions(blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks of a system turn as those of a user's, marked as what they are."""
    return [
        {**block, "text": f"<system>\n{block['text']}\n</system>"} if block.get("type") == "text" else dict(block)
        for block in blocks
    ]


def mended(messages: Sequence[Any]) -> list[Any]:
    """Return messages in Anthropic's form, as they were sent, without what Anthropic refuses in every conversation.

    That is blank text, and reasoning that bears no signature of Anthropic's. All else stays as it is, in its place.
    """
    kept = [_mended(message) for message in messages]
    return [message for message in kept if not isinstance(message, Mapping) or message.get("content") not in ([], "")]


def without_reasoning(messages: Sequence[Any]) -> list[Any]:
    """Return messages in Anthropic's form without the reasoning of earlier turns."""
    left: list[Any] = []
    for message in messages:
        if isinstance(message, Mapping) and isinstance(message.get("content"), list):
            content = [block for block in message["content"] if block.get("type") not in _REASONING]
            message = {**message, "content": content or text_blocks("...")}  # noqa: PLW2901 - the message as it is left
        left.append(message)
    return left


def without_system_turns(messages: Sequence[Any]) -> list[Any]:
    """Return messages in Anthropic's form whose system turns are texts of the user's, in their places."""
    told: list[Any] = []
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == "system":
            blocks = as_instructions(to_blocks(message.get("content")))
            if told and told[-1].get("role") == "user":
                before = told.pop()["content"]
                blocks = [*(text_blocks(before) if isinstance(before, str) else before), *blocks]
            message = {"role": "user", "content": blocks}  # noqa: PLW2901 - the message as it is told
        told.append(message)
    return told


def _mended(message: Any) -> Any:
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str) and not is_kept({"type": "text", "text": content}):
        return {**message, "content": ""}
    if not isinstance(content, list) or all(is_kept(block) and not _is_unsigned(block) for block in content):
        return message
    return {**message, "content": [block for block in content if is_kept(block) and not _is_unsigned(block)]}


def _is_unsigned(block: Any) -> bool:
    """Return whether a block is reasoning that no model of Anthropic's has signed."""
    if not isinstance(block, Mapping) or block.get("type") != "thinking":
        return False
    return block.get("signature") in (None, "", UNSIGNED)


def _reasoning(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the reasoning of an assistant's turn, block by block, as far as it bears a signature."""
    told = turn.get("thinking_blocks")
    blocks = [dict(block) for block in told if isinstance(block, Mapping)] if isinstance(told, list) else []
    return [block for block in blocks if block.get("type") in _REASONING and not _is_unsigned(block)]


def _marked(turn: Mapping[str, Any], blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `blocks` with the `cache_control` of their turn at the last of them that can bear it."""
    if blocks and isinstance(turn.get(CACHE), Mapping) and blocks[-1]["type"] not in _REASONING:
        return [*blocks[:-1], {**blocks[-1], CACHE: turn[CACHE]}]
    return blocks


def _arguments(given: Any) -> Mapping[str, Any]:
    """Return the arguments of a call as an object; a text that is none is one in it."""
    if isinstance(given, Mapping):
        return given
    text = str(given or "").strip()
    try:
        value = decode_json(text) if text else {}
    except ValueError:
        value = text
    return value if isinstance(value, Mapping) else {"input": value}
