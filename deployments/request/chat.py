"""The messages of OpenAI's chat format.

    role                 for our own models
    system, developer    a system turn
    user                 a user turn
    assistant            an assistant turn; its tool calls are written out in words
    tool, function       a user turn: "Result of <name>: ..."; several in a row are one turn

Content is read by `content`. Upstreams are given the messages as they were sent, with every field. What an assistant's
message has beside its content came with an answer, and clients send it back: our own models do without it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.content import plain_content
from deployments.request.fields import refuse
from deployments.request.inference import Feature
from deployments.request.turns import split_prefix

CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "annotations"})
"""`annotations` comes with answers of OpenAI, and clients send it back: it is accepted, and dropped."""

_LEFT_OUT = "annotations"
_NO_EFFECT = MESSAGE_FIELDS | {"cache_control"}
_OUR_ROLES = {"system": "system", "developer": "system", "assistant": "assistant"}
_MESSAGES = f"a list of objects with `role` ({', '.join(CHAT_ROLES)}) and `content`"
_CALL = 'a list of {"id": ..., "type": "function", "function": {"name": ..., "arguments": <text>}}'
_RESULTS = ("tool", "function")


class Chat(Struct, frozen=True):
    """A chat in two forms: as it was sent, for upstreams, and as plain turns, for our own models.

    Attributes:
        turns: the messages as they were sent, without fields that are `null`.
        messages: the chat as plain turns of `role` and `content`.
        prefix: the text of a trailing assistant message, which is in neither `turns` nor `messages`.
        prefix_turn: that message as it was sent; empty where there is none.
        features: what only an upstream can read; each name once, with its first place.
    """

    turns: tuple[Mapping[str, Any], ...]
    messages: tuple[Mapping[str, str], ...]
    prefix: str
    prefix_turn: Mapping[str, Any] = {}
    features: tuple[Feature, ...] = ()


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
    turns, fields = (reader.turns[:-1], reader.turns[-1]) if prefix else (reader.turns, {})
    return Chat(tuple(turns), _joined(plain, reader.turns), prefix, fields, tuple(reader.features.values()))


class _Reader(Struct):
    """Reads the messages in order. It keeps the names of tool calls, as a later result refers to its call by id."""

    turns: list[Mapping[str, Any]] = []
    plain: list[Mapping[str, str]] = []
    features: dict[str, Feature] = {}
    _names: dict[str, str] = {}

    def read(self, message: Any, place: str) -> None:
        if not isinstance(message, Mapping):
            raise refuse(place, message, _MESSAGES)
        turn = {key: value for key, value in message.items() if value is not None and value != []}
        role = turn.get("role")
        if not isinstance(role, str) or role not in CHAT_ROLES:
            raise InvalidRequestError(Problem(f"{place}.role", "is not a role", ", ".join(CHAT_ROLES)))
        if role != "assistant":
            for key in turn:
                if key not in _NO_EFFECT:
                    self._note(key, f"{place}.{key[:64]}")
        self.plain.append({"role": _OUR_ROLES.get(role, "user"), "content": self._content(role, turn, place)})
        turn.pop(_LEFT_OUT, None)
        self.turns.append(turn)

    def _note(self, name: str, place: str) -> None:
        self.features.setdefault(name[:64], Feature(name[:64], place))

    def _content(self, role: str, turn: Mapping[str, Any], place: str) -> str:
        match role:
            case "assistant":
                return self._assistant(turn, place)
            case "tool":
                name = self._names.get(str(turn.get("tool_call_id", "")))
                if name is None:
                    accepted = "the id of a tool call in a message before it"
                    raise InvalidRequestError(Problem(f"{place}.tool_call_id", "belongs to no tool call", accepted))
                return f"Result of {name}: {self._text(turn, place)}"
            case "function":
                return f"Result of {turn.get('name', '')}: {self._text(turn, place)}"
            case _:
                return self._text(turn, place)

    def _assistant(self, turn: Mapping[str, Any], place: str) -> str:
        calls = turn.get("tool_calls", [])
        if not isinstance(calls, list):
            raise refuse(f"{place}.tool_calls", calls, _CALL)
        told = [self._call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
        if "content" in turn or not (told or turn.keys() - {"role", "name"}):
            return "\n".join([text for text in [self._text(turn, place)] if text or not told] + told)
        refusal = turn.get("refusal", "")
        if not isinstance(refusal, str):
            raise refuse(f"{place}.refusal", refusal, "a text")
        return "\n".join([text for text in [refusal] if text] + told)

    def _call(self, call: Any, place: str) -> str:
        """Read a tool call as models give it: some leave out its type, its id, or its arguments."""
        if not isinstance(call, Mapping):
            raise refuse(place, call, _CALL)
        sort = call.get("type") or "function"
        called = call.get(sort) if isinstance(sort, str) else None
        if not isinstance(called, Mapping):
            raise InvalidRequestError(Problem(place, "is no function call", _CALL))
        name, key = called.get("name"), call.get("id") or ""
        given = called.get("input" if sort == "custom" else "arguments") or ""
        if not all(isinstance(text, str) for text in (name, key, given)) or not name:
            raise InvalidRequestError(Problem(place, "lacks id, name or arguments", _CALL))
        self._names[key] = name
        return f"Called {name} with {given}"

    def _text(self, turn: Mapping[str, Any], place: str) -> str:
        return plain_content(turn.get("content"), f"{place}.content", self._note)


def _joined(plain: tuple[Mapping[str, str], ...], turns: list[Mapping[str, Any]]) -> tuple[Mapping[str, str], ...]:
    """Join tool results in a row into one turn: chat templates often insist on alternating roles."""
    joined: list[Mapping[str, str]] = []
    for place, message in enumerate(plain):
        if place and turns[place]["role"] in _RESULTS and turns[place - 1]["role"] in _RESULTS:
            joined[-1] = {**joined[-1], "content": f"{joined[-1]['content']}\n{message['content']}"}
        else:
            joined.append(message)
    return tuple(joined)
