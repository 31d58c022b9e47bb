"""The system prompt and the messages of Anthropic's format, read into a conversation.

    system               a system turn, before all others; also a message of that role, in its place
    user                 a tool's turn for each of its results, then a user turn with the rest
    assistant            an assistant turn, with its tool calls and its reasoning

A picture in a tool's result is told there in words, and shown in the user turn behind it: OpenAI's tool turns are
texts. A result that says `is_error` begins with "Error: ". The text of a trailing assistant's message is the beginning
of the answer. What each block becomes: `blocks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.blocks import Block, read_blocks, to_part
from deployments.request.conversation import Chat, Conversation, result_in_words, to_content
from deployments.request.fields import kind, refuse

MESSAGE_ROLES = ("user", "assistant", "system")

UNSIGNED = "neverblank:unsigned"
"""The signature of reasoning that bears none: the format demands one, and clients send a block without one back to
nobody."""

OWN_ENDS = frozenset({"pause_turn", "compaction", "model_context_window_exceeded"})
"""Why a message may end for which a chat has no word: it is told beside the nearest one, in the field `NATIVE_END`."""

NATIVE_END = "native_finish_reason"

_MESSAGES = f"a list of objects with `role` ({', '.join(MESSAGE_ROLES)}) and `content`"
_MESSAGE_FIELDS = frozenset({"role", "content"})
_ERROR = "Error: "
_OF_PROVIDERS_TOOLS = ("_tool_use", "_tool_result")
"""How blocks of a provider's own tools are called: `server_tool_use`, `web_search_tool_result`, `mcp_tool_use` …"""


def read_dialogue(system: Any, messages: Any) -> Chat:
    """Read the fields `system` and `messages`.

    Raises:
        InvalidRequestError: one of them is not valid; the problem names the message and the block.
    """
    if not isinstance(messages, list) or not messages:
        raise refuse("messages", messages, _MESSAGES)
    reader = _Reader()
    if system is not None:
        reader.system(system, "system")
    for number, message in enumerate(messages):
        reader.read(message, f"messages[{number}]")
    return reader.conversation.chat(f"messages[{len(messages) - 1}].content", paused=reader.paused)


@dataclass(slots=True)
class _Reader:
    """Reads the messages in order.

    Attributes:
        paused: the last one is an assistant's with blocks of a provider's own tools: it may go on without any text.
    """

    conversation: Conversation = field(default_factory=Conversation)
    paused: bool = False

    def system(self, content: Any, place: str) -> None:
        blocks = read_blocks(content, place, self.conversation)
        for block in blocks:
            if block.kind != "text":
                raise InvalidRequestError(Problem(f"{block.place}.type", "is not text", "blocks of text alone"))
        text = "\n".join(text for block in blocks if (text := block.text("text")))
        if text:
            self.conversation.add({"role": "system", "content": text}, "system", text, place.removesuffix(".content"))

    def read(self, message: Any, place: str) -> None:
        if not isinstance(message, Mapping):
            raise refuse(place, message, _MESSAGES)
        self.paused = False
        role = message.get("role")
        if role not in MESSAGE_ROLES:
            raise InvalidRequestError(Problem(f"{place}.role", "is not a role", ", ".join(MESSAGE_ROLES)))
        for key, value in message.items():
            if key not in _MESSAGE_FIELDS and value is not None and role != "assistant":
                self.conversation.note_foreign(key, f"{place}.{key[:64]}")
        content = message.get("content")
        if isinstance(content, str) and role != "system":
            self.conversation.add({"role": role, "content": content}, role, content, place)
            return
        if role == "system":
            self.system(content, f"{place}.content")
            return
        blocks = read_blocks(content, f"{place}.content", self.conversation)
        if role == "user":
            self._user(blocks, place)
        else:
            self._assistant(blocks, place)

    def _user(self, blocks: Sequence[Block], place: str) -> None:
        results = [block for block in blocks if block.kind == "tool_result"]
        shown = [block for result in results for block in self._result(result, place)]
        rest = [*shown, *(block for block in blocks if block.kind != "tool_result")]
        if rest or not results:
            parts = [to_part(block) for block in rest]
            words = self.conversation.in_words(parts, [block.place for block in rest])
            turn = {"role": "user", "content": to_content(parts)}
            self.conversation.add(turn, "user", words, place)

    def _result(self, block: Block, place: str) -> Sequence[Block]:
        """Add the turn of a tool's result, and return the blocks of it that a tool's turn cannot hold."""
        key = block.text("tool_use_id")
        name = self.conversation.called_as(key, f"{block.place}.tool_use_id")
        content = block.fields.get("content")
        inner = read_blocks("" if content is None else content, f"{block.place}.content", self.conversation)
        parts = [to_part(each) for each in inner]
        words = self.conversation.in_words(parts, [each.place for each in inner])
        failed = block.fields.get("is_error")
        if failed is not None and not isinstance(failed, bool):
            raise refuse(f"{block.place}.is_error", failed, "true or false")
        text = f"{_ERROR}{words}" if failed else words
        turn = {"role": "tool", "tool_call_id": key, "content": text}
        self.conversation.add(turn, "user", result_in_words(name, text), place)
        return [each for each, part in zip(inner, parts, strict=True) if part["type"] != "text"]

    def _assistant(self, blocks: Sequence[Block], place: str) -> None:
        calls, told, said, thoughts = [], [], [], []
        for block in blocks:
            match block.kind:
                case "tool_use":
                    call = _call(block)
                    calls.append(call)
                    told.append(self.conversation.call(call["id"], *call["function"].values()))
                case "thinking":
                    thoughts.append(block.text("thinking"))
                case "redacted_thinking":
                    self.conversation.note_foreign(block.kind, f"{block.place}.type")
                case _:
                    said.append(block)
        parts = [to_part(block) for block in said]
        self.paused = not calls and any(block.kind.endswith(_OF_PROVIDERS_TOOLS) for block in said)
        words = self.conversation.in_words(parts, [block.place for block in said])
        turn: dict[str, Any] = {"role": "assistant"}
        if parts or not calls:
            turn["content"] = to_content(parts)
        if thinking := "\n".join(thought for thought in thoughts if thought):
            turn["reasoning_content"] = thinking
        if calls:
            turn["tool_calls"] = calls
        self.conversation.add(turn, "assistant", "\n".join([words, *told] if words else told), place)


def _call(block: Block) -> dict[str, Any]:
    """Return a tool call in OpenAI's form."""
    name, given = block.text("name"), block.fields.get("input")
    key = block.text("id")
    if not name or not key:
        empty = "id" if not key else "name"
        raise InvalidRequestError(Problem(f"{block.place}.{empty}", "is an empty text", "a text"))
    if given is not None and not isinstance(given, Mapping):
        raise InvalidRequestError(Problem(f"{block.place}.input", f"is {kind(given)}", "an object"))
    function = {"name": name, "arguments": orjson.dumps(given or {}).decode()}
    return {"id": key, "type": "function", "function": function}
