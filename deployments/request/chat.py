"""The messages of OpenAI's chat format.

    role                 for our own models
    system, developer    a system turn
    user                 a user turn
    assistant            an assistant turn; its tool calls are written out in words
    tool                 a user turn: "Result of <name>: ..."; several in a row are one turn

Content is a text or a list of text parts. Upstreams are given the messages as they were sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import kind, refuse
from deployments.request.turns import split_prefix

CHAT_ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "annotations"})
"""`annotations` comes with answers of OpenAI, and clients send it back: it is accepted, and dropped."""

_LEFT_OUT = "annotations"
_OUR_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "user"}
_MESSAGES = f"a list of objects with `role` ({', '.join(CHAT_ROLES)}) and `content`"
_CONTENT = 'a text, or a list of parts {"type": "text", "text": ...}'
_CALL = 'a list of {"id": ..., "type": "function", "function": {"name": ..., "arguments": <text>}}'


class Chat(Struct, frozen=True):
    """A chat in two forms: as it was sent, for upstreams, and as plain turns, for our own models.

    Attributes:
        turns: the messages as they were sent, without fields that are `null`.
        messages: the chat as plain turns of `role` and `content`.
        prefix: the text of a trailing assistant message, which is in neither `turns` nor `messages`.
    """

    turns: tuple[Mapping[str, Any], ...]
    messages: tuple[Mapping[str, str], ...]
    prefix: str


def read_chat(value: Any) -> Chat:
    """Read `messages`.

    Raises:
        InvalidRequestError: `messages` is not valid; the problem names the message and the field.
    """
    if not isinstance(value, list) or not value:
        raise refuse("messages", value, _MESSAGES)
    reader = _Reader()
    for place, message in enumerate(value):
        reader.read(message, f"messages[{place}]")
    last = reader.turns[-1]
    if last.get("tool_calls"):
        accepted = "a tool's message for each of them"
        raise InvalidRequestError(Problem(f"messages[{len(value) - 1}].tool_calls", "have no result", accepted))
    plain, prefix = split_prefix(reader.plain)
    turns = reader.turns[:-1] if prefix else reader.turns
    return Chat(tuple(turns), _joined(plain, reader.turns), prefix)


@dataclass(slots=True)
class _Reader:
    """Reads the messages in order. It keeps the names of tool calls, as a later result refers to its call by id."""

    turns: list[Mapping[str, Any]] = field(default_factory=list)
    plain: list[Mapping[str, str]] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def read(self, message: Any, place: str) -> None:
        if not isinstance(message, Mapping):
            raise refuse(place, message, _MESSAGES)
        turn = {key: value for key, value in message.items() if value is not None and value != []}
        role = turn.get("role")
        if not isinstance(role, str) or role not in CHAT_ROLES:
            raise InvalidRequestError(Problem(f"{place}.role", "is not a role", ", ".join(CHAT_ROLES)))
        if unknown := next((key for key in turn if key not in MESSAGE_FIELDS), ""):
            accepted = ", ".join(sorted(MESSAGE_FIELDS))
            raise InvalidRequestError(Problem(f"{place}.{unknown}", "is not supported", accepted))
        self.plain.append({"role": _OUR_ROLES[role], "content": self._content(role, turn, place)})
        turn.pop(_LEFT_OUT, None)
        self.turns.append(turn)

    def _content(self, role: str, turn: Mapping[str, Any], place: str) -> str:
        match role:
            case "assistant":
                return self._assistant(turn, place)
            case "tool":
                name = self._names.get(str(turn.get("tool_call_id")))
                if name is None:
                    accepted = "the id of a tool call in a message before it"
                    raise InvalidRequestError(Problem(f"{place}.tool_call_id", "belongs to no tool call", accepted))
                return f"Result of {name}: {_read_content(turn, place)}"
            case _:
                return _read_content(turn, place)

    def _assistant(self, turn: Mapping[str, Any], place: str) -> str:
        calls = turn.get("tool_calls", [])
        if not isinstance(calls, list):
            raise refuse(f"{place}.tool_calls", calls, _CALL)
        told = [self._call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
        if "content" in turn or not (told or "refusal" in turn):
            return "\n".join([text for text in [_read_content(turn, place)] if text or not told] + told)
        refusal = turn.get("refusal", "")
        if not isinstance(refusal, str):
            raise refuse(f"{place}.refusal", refusal, "a text")
        return "\n".join([text for text in [refusal] if text] + told)

    def _call(self, call: Any, place: str) -> str:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(function, Mapping) or call.get("type") != "function":
            raise InvalidRequestError(Problem(place, "is no function call", _CALL))
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        if not all(isinstance(text, str) for text in texts) or not call["id"] or not function["name"]:
            raise InvalidRequestError(Problem(place, "lacks id, name or arguments", _CALL))
        self._names[call["id"]] = function["name"]
        return f"Called {function['name']} with {function['arguments']}"


def _read_content(turn: Mapping[str, Any], place: str) -> str:
    value = turn.get("content")
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise refuse(f"{place}.content", value, _CONTENT)
    return "\n".join(_read_part(part, f"{place}.content[{number}]") for number, part in enumerate(value))


def _read_part(part: Any, place: str) -> str:
    if not isinstance(part, Mapping):
        raise refuse(place, part, _CONTENT)
    sort = part.get("type")
    if sort in ("image_url", "input_audio", "file", "refusal"):
        raise InvalidRequestError(Problem(f"{place}.type", f"is {sort}, which is not supported", _CONTENT))
    if sort != "text":
        raise InvalidRequestError(Problem(f"{place}.type", "is not supported", _CONTENT))
    if not isinstance(part.get("text"), str):
        raise InvalidRequestError(Problem(f"{place}.text", f"is {kind(part.get('text'))}", "a text"))
    text: str = part["text"]
    return text


def _joined(plain: tuple[Mapping[str, str], ...], turns: list[Mapping[str, Any]]) -> tuple[Mapping[str, str], ...]:
    """Join tool results in a row into one turn: chat templates often insist on alternating roles."""
    joined: list[Mapping[str, str]] = []
    for place, message in enumerate(plain):
        if place and turns[place]["role"] == "tool" == turns[place - 1]["role"]:
            joined[-1] = {**joined[-1], "content": f"{joined[-1]['content']}\n{message['content']}"}
        else:
            joined.append(message)
    return tuple(joined)
