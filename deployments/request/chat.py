"""The messages of OpenAI's chat format.

    role                 for our own models
    system, developer    a system turn
    user                 a user turn
    assistant            an assistant turn; its tool calls are written out in words
    tool, function       a user turn: "Result of <name>: ..."; one with further results and a user turn behind it

Content is read by `content`. Upstreams are given the messages as they were sent, with every field. What an assistant's
message has beside its content came with an answer, and clients send it back: our own models do without it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct, field

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.content import plain_content
from deployments.request.conversation import Chat, Conversation, result_in_words
from deployments.request.fields import refuse
from deployments.request.structs import does

_Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
CHAT_ROLES = get_args(_Role)
MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "annotations"})
"""`annotations` comes with answers of OpenAI, and clients send it back: it is accepted, and dropped."""

SENT_BACK = frozenset({"id", "audio", "function_call", "reasoning", "reasoning_content", "provider_specific_fields"})
"""Fields that come with answers, and that clients keep with every message of a conversation, whoever wrote it."""

_LEFT_OUT = "annotations"
_NO_EFFECT = MESSAGE_FIELDS | SENT_BACK | {"cache_control"}
_MAY_BE_NULL = ("assistant", "tool", "function")
"""Whose content may be `null`: an answer of nothing but calls, and a function that returns nothing."""
_OUR_ROLES = {"system": "system", "developer": "system", "assistant": "assistant"}
_SAYS_NOTHING = frozenset({"role", "name", "tool_call_id", "id", "annotations"})
CHAT_MESSAGES = f"a list of objects with `role` ({', '.join(CHAT_ROLES)}) and `content`"
_CALL = 'a list of {"id": ..., "type": "function", "function": {"name": ..., "arguments": <text>}}'


class ContentPart(Struct, frozen=True):
    """A part of a content. Other fields and types are passed on."""

    type: Annotated[str, does("`text`, `image_url`, `input_audio`, `file`, or one for remote models.")]
    text: Annotated[str, does("Of a text.")] = ""


class FunctionCall(Struct, frozen=True):
    """A call of a function."""

    name: str
    arguments: Annotated[str, does("JSON.")] = ""


class SentCall(Struct, frozen=True):
    """A tool call of an answer, as it is sent back."""

    id: str
    function: FunctionCall
    type: str = "function"


class ChatMessage(Struct, frozen=True):
    """A message of a chat. Other fields are passed on."""

    role: Annotated[_Role, does("Whose turn it is.")]
    content: Annotated[Any, does("A text, or parts of one.", shown=str | list[ContentPart] | None)] = None
    name: Annotated[Any, does("The speaker's name, or the function's.", shown=str)] = None
    tool_calls: Annotated[Any, does("Of an assistant: the calls that it made.", shown=list[SentCall])] = None
    tool_call_id: Annotated[Any, does("Of a tool: the call that this is the result of.", shown=str)] = None


ChatMessages = Annotated[list[Annotated[ChatMessage, Meta(extra={"accepted": CHAT_MESSAGES})]], Meta(min_length=1)]


def read_chat(sent: Sequence[Mapping[str, Any]], messages: Sequence[ChatMessage], *, goes_on: bool = True) -> Chat:
    """Read the messages of a chat.

    Args:
        sent: the messages as they were sent; at least one.
        messages: the same, read.
        goes_on: an assistant's message at the end is the beginning of the answer; else it is a turn like any other.

    Raises:
        InvalidRequestError: `messages` is not valid; the problem names the message and the field.
    """
    reader = _Reader()
    for place, message in enumerate(sent):
        reader.read(message, messages[place].role, f"messages[{place}]")
    return reader.conversation.chat(f"messages[{len(sent) - 1}].tool_calls", goes_on=goes_on)


class _Reader(Struct):
    """Reads the messages in order."""

    conversation: Conversation = field(default_factory=Conversation)

    def read(self, message: Mapping[str, Any], role: str, place: str) -> None:
        turn = {key: value for key, value in message.items() if value is not None and value != []}
        if role != "assistant":
            for key in turn:
                if key not in _NO_EFFECT:
                    self.conversation.note(key, f"{place}.{key[:64]}")
        if role in _MAY_BE_NULL and turn.keys() <= _SAYS_NOTHING:
            turn["content"] = ""
        content = self._content(role, turn, place)
        turn.pop(_LEFT_OUT, None)
        self.conversation.add(turn, _OUR_ROLES.get(role, "user"), content, place)

    def _content(self, role: str, turn: Mapping[str, Any], place: str) -> str:
        match role:
            case "assistant":
                return self._assistant(turn, place)
            case "tool":
                name = self.conversation.called_as(str(turn.get("tool_call_id", "")), f"{place}.tool_call_id")
                return result_in_words(name, self._text(turn, place))
            case "function":
                return result_in_words(turn.get("name", ""), self._text(turn, place))
            case _:
                return self._text(turn, place)

    def _assistant(self, turn: Mapping[str, Any], place: str) -> str:
        calls = turn.get("tool_calls", [])
        if not isinstance(calls, list):
            raise refuse(f"{place}.tool_calls", calls, _CALL)
        told = [self._call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
        if "function_call" in turn:
            told.append(self._call({"function": turn["function_call"]}, f"{place}.function_call"))
        if "content" in turn:
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
        return self.conversation.call(key, name, given)

    def _text(self, turn: Mapping[str, Any], place: str) -> str:
        return plain_content(turn.get("content"), f"{place}.content", self.conversation.note)
