"""The input of OpenAI's Responses, read into a conversation: a text, or a list of items.

    message                       a turn of its role: user, system and developer, assistant
    reasoning                     what an assistant's turn was thought with
    function_call, custom_tool_call
                                  a tool call of an assistant's turn
    function_call_output, custom_tool_call_output
                                  a tool's turn
    item_reference                refused, as it stands for an item that is not here; of reasoning it is left out
    anything else                 what a tool of another service has done: for remote models of this format; others are
                                  not asked with it, and list it as dropped

What an assistant has done in a row (a message, reasoning, calls) is one turn, as it was one answer: a chat wants all
calls in the turn before their results. A picture in a tool's result is told there in words, and shown in a user turn
behind the results, as in Anthropic's format. An assistant's message at the end is a turn like any other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.conversation import Chat, Conversation, result_in_words, to_content
from deployments.request.fields import MAX_TYPE, kind, refuse
from deployments.request.item_parts import ItemPart, read_item_parts, read_item_text

ITEM_ROLES = ("user", "assistant", "system", "developer")

REASONING_IDS = "rs_"
"""How the ids of reasoning begin."""

_INPUT = f"a text, or a list of items, such as messages with `role` ({', '.join(ITEM_ROLES)}) and `content`"
_MESSAGE_FIELDS = frozenset({"type", "role", "content", "id", "status", "phase", "name"})
_THOUGHTS = ("content", "summary")
"""Where reasoning is: as it was thought, or in a summary."""


def read_input_items(instructions: str, value: Any, before: Sequence[Mapping[str, Any]] = ()) -> Chat:
    """Read the fields `instructions` and `input`.

    Args:
        instructions: a system turn before all others; empty for none.
        value: the input.
        before: the items of the conversation that it goes on with, as they were sent and given.

    Raises:
        InvalidRequestError: an item is not valid; the problem names the item and the field.
    """
    if not isinstance(value, (str, list)) or not value:
        raise refuse("input", value, _INPUT)
    reader = _Reader()
    if instructions:
        reader.conversation.add({"role": "system", "content": instructions}, "system", instructions, "instructions")
    for item in before:
        reader.read(item, "previous_response_id")
    if isinstance(value, str):
        reader.read({"role": "user", "content": value}, "input")
    else:
        for number, item in enumerate(value):
            reader.read(item, f"input[{number}]")
    return reader.chat()


class _Said(Struct):
    """What an assistant has done in a row.

    Attributes:
        place: the place of the last item of it.
        parts: what it said.
        thoughts: its reasoning.
        calls: its tool calls, in the form of a chat.
        told: its tool calls in words.
    """

    place: str = ""
    parts: list[ItemPart] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class _Reader(Struct):
    """Reads the items in order."""

    conversation: Conversation = field(default_factory=Conversation)
    _said: _Said = field(default_factory=_Said)
    _shown: list[ItemPart] = field(default_factory=list)
    _last: str = "input"

    def read(self, item: Any, place: str) -> None:
        if not isinstance(item, Mapping):
            raise refuse(place, item, _INPUT)
        sort = item.get("type") or ("message" if "role" in item else None)
        if not isinstance(sort, str) or not 0 < len(sort) <= MAX_TYPE:
            raise InvalidRequestError(Problem(f"{place}.type", f"is {kind(sort)}", _INPUT))
        self._last = place
        match sort:
            case "message":
                self._message(item, place)
            case "reasoning":
                self._said.place = place
                self._said.thoughts += _thoughts(item, place)
            case "function_call" | "custom_tool_call":
                self._call(item, place, "arguments" if sort == "function_call" else "input")
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, place)
            case "item_reference" if str(item.get("id")).startswith(REASONING_IDS):
                self.conversation.note_foreign("reasoning", f"{place}.type")
            case "item_reference":
                accepted = "the item itself, as it was given"
                raise InvalidRequestError(Problem(f"{place}.type", "refers to an item that is not stored", accepted))
            case _:
                self.conversation.note_foreign(sort, f"{place}.type")

    def chat(self) -> Chat:
        """Return the conversation.

        Raises:
            InvalidRequestError: there is nothing to answer.
        """
        self._end_turn()
        self._show()
        if self.conversation.is_empty:
            raise InvalidRequestError(Problem("input", "has no item that can be answered", _INPUT))
        return self.conversation.chat(self._last, goes_on=False)

    def _message(self, item: Mapping[str, Any], place: str) -> None:
        role, content = item.get("role"), item.get("content")
        if role not in ITEM_ROLES:
            raise InvalidRequestError(Problem(f"{place}.role", "is not a role", ", ".join(ITEM_ROLES)))
        if role == "assistant":
            self._said.place = place
            self._said.parts += read_item_parts(content, f"{place}.content")
            return
        for key, value in item.items():
            if key not in _MESSAGE_FIELDS and value is not None:
                self.conversation.note_foreign(key, f"{place}.{key[:64]}")
        self._end_turn()
        self._show()
        if role == "user":
            self._add("user", read_item_parts(content, f"{place}.content"), place)
            return
        text = read_item_text(content, f"{place}.content")
        if text:
            self.conversation.add({"role": role, "content": text}, "system", text, place)

    def _call(self, item: Mapping[str, Any], place: str, given: str) -> None:
        key, name, arguments = (_text(item, each, place) for each in ("call_id", "name", given))
        for each, value in (("call_id", key), ("name", name)):
            if not value:
                raise refuse(f"{place}.{each}", value, "a text")
        sort = "function" if given == "arguments" else "custom"
        self._said.place = place
        self._said.calls.append({"id": key, "type": sort, sort: {"name": name, given: arguments}})
        self._said.told.append(self.conversation.call(key, name, arguments))

    def _result(self, item: Mapping[str, Any], place: str) -> None:
        """Add the turn of a tool's result, and keep what a tool's turn cannot hold for the user turn behind it."""
        self._end_turn()
        key = _text(item, "call_id", place)
        name = self.conversation.called_as(key, f"{place}.call_id")
        parts = read_item_parts(item.get("output"), f"{place}.output")
        words = self._words(parts)
        turn = {"role": "tool", "tool_call_id": key, "content": words}
        self.conversation.add(turn, "user", result_in_words(name, words), place)
        self._shown += [part for part in parts if not part.is_text]

    def _show(self) -> None:
        if self._shown:
            shown, self._shown = self._shown, []
            self._add("user", shown, shown[0].place)

    def _add(self, role: str, parts: Sequence[ItemPart], place: str) -> None:
        turn = {"role": role, "content": to_content([part.fields for part in parts])}
        self.conversation.add(turn, role, self._words(parts), place)

    def _end_turn(self) -> None:
        """Add the assistant's turn, if there is one; reasoning without anything said or called is none."""
        said, self._said = self._said, _Said()
        if not said.parts and not said.calls:
            if said.thoughts:
                self.conversation.note_foreign("reasoning", said.place)
            return
        turn: dict[str, Any] = {"role": "assistant"}
        if said.parts:
            turn["content"] = to_content([part.fields for part in said.parts])
        if said.thoughts:
            turn["reasoning_content"] = "\n".join(said.thoughts)
        if said.calls:
            turn["tool_calls"] = said.calls
        words = self._words(said.parts)
        self.conversation.add(turn, "assistant", "\n".join([words, *said.told] if words else said.told), said.place)

    def _words(self, parts: Sequence[ItemPart]) -> str:
        return self.conversation.in_words([part.fields for part in parts], [part.place for part in parts])


def _thoughts(item: Mapping[str, Any], place: str) -> list[str]:
    """Return the reasoning in an item: as it was thought, else its summary. What is encrypted can be read by nobody."""
    for key in _THOUGHTS:
        if item.get(key):
            texts = item[key]
            if not isinstance(texts, list) or not all(isinstance(each, Mapping) for each in texts):
                raise refuse(f"{place}.{key}", texts, "a list of objects with `text`")
            return [_text(each, "text", f"{place}.{key}[{number}]") for number, each in enumerate(texts)]
    return []


def _text(fields: Mapping[str, Any], key: str, place: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise InvalidRequestError(Problem(f"{place}.{key}", f"is {kind(value)}", "a text"))
    return value
