"""A conversation, whatever family of wire formats it was sent in: the form that all of them are read into.

It has two forms of each turn: OpenAI's, which every upstream and every chat template reads, and plain words, for our
own models. A reader of a family gives both, turn by turn, with the place of each in its own request.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.content import plain_content
from deployments.request.inference import Feature
from deployments.request.passing import MAX_FIELDS
from deployments.request.turns import require_last, split_prefix

_LONGEST_NAME = 64
_LONGEST_CALLED = 128  # characters of a function's name, which each result of a call repeats
_RESULTS = ("tool", "function")
_CALLS = ("tool_calls", "function_call")


class Chat(Struct, frozen=True):
    """A chat in two forms: as it was sent, for upstreams, and as plain turns, for our own models.

    Attributes:
        turns: the messages in OpenAI's form, without fields that are `null`, but for the content of calls.
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


def note_foreign(features: dict[str, Feature], name: str, place: str) -> None:
    """Add what has no place in OpenAI's form to `features`; see `note_feature`."""
    note_feature(features, Feature(name[:_LONGEST_NAME], place, essential=False, foreign=True))


def note_feature(features: dict[str, Feature], feature: Feature) -> None:
    """Add a feature to `features`, by its name, where it is not yet among them.

    Raises:
        InvalidRequestError: there are more of them than anybody needs.
    """
    if feature.name not in features and len(features) >= MAX_FIELDS:
        accepted = f"at most {MAX_FIELDS} of those"
        raise InvalidRequestError(Problem(feature.field, "is one of too many that are not known here", accepted))
    features.setdefault(feature.name, feature)


class Conversation(Struct):
    """A conversation that is being read. It keeps the names of tool calls, as a later result refers to its call by id.

    Attributes:
        features: as in `Chat`, by their names.
    """

    features: dict[str, Feature] = {}
    _turns: list[Mapping[str, Any]] = []
    _plain: list[Mapping[str, str]] = []
    _places: list[str] = []
    _joins: set[int] = set()
    _names: dict[str, str] = {}

    @property
    def is_empty(self) -> bool:
        """Whether it has no turn yet."""
        return not self._turns

    def note(self, name: str, place: str) -> None:
        """Note a feature that only an upstream may have.

        Raises:
            InvalidRequestError: there are more of them than anybody needs.
        """
        note_feature(self.features, Feature(name[:_LONGEST_NAME], place))

    def note_foreign(self, name: str, place: str) -> None:
        """Note what has no place in OpenAI's form, in which every model is asked: every answer lists it as dropped.

        Raises:
            InvalidRequestError: as in `note`.
        """
        note_foreign(self.features, name, place)

    def call(self, key: str, name: str, arguments: str) -> str:
        """Note a tool call by its id, and return it in words."""
        self._names[key] = name[:_LONGEST_CALLED]
        return f"Called {name} with {arguments}"

    def called_as(self, key: str, place: str) -> str:
        """Return the name of the function that was called with the id `key`; `place` is that of the id.

        Raises:
            InvalidRequestError: no call before it has the id.
        """
        if (name := self._names.get(key)) is None:
            accepted = "the id of a tool call in a message before it"
            raise InvalidRequestError(Problem(place, "belongs to no tool call", accepted))
        return name

    def in_words(self, parts: Sequence[Mapping[str, Any]], places: Sequence[str]) -> str:
        """Return parts in OpenAI's form in words, and note each, at its place, that only an upstream can read."""
        told = []
        for part, place in zip(parts, places, strict=True):
            if part["type"] == "text":
                told.append(part["text"])
            else:
                told.append(plain_content([part], place, partial(self._note_at, place)))
        return "\n".join(text for text in told if text)

    def _note_at(self, place: str, name: str, _: str) -> None:
        self.note(name, place)

    def add(self, turn: Mapping[str, Any], role: str, content: str, place: str) -> None:
        """Append a turn. In words, a user turn behind a result is one with it: many chat templates want roles in turn.

        A turn of calls alone has `content: null`, as OpenAI's own clients write it: some servers (DeepSeek) demand the
        key, and a caller may leave it out.

        Args:
            turn: the turn in OpenAI's form.
            role: its role as a plain turn.
            content: its content in words.
            place: its place in the request.
        """
        if role == "user" and self._turns and self._turns[-1]["role"] in _RESULTS:
            self._joins.add(len(self._turns))
        if "content" not in turn and any(key in turn for key in _CALLS):
            turn = {"role": turn["role"], "content": None, **turn}
        self._turns.append(turn)
        self._plain.append({"role": role, "content": content})
        self._places.append(place)

    def chat(self, calls_place: str, *, goes_on: bool = True, paused: bool = False) -> Chat:
        """Return the whole conversation, which has at least one turn.

        Args:
            calls_place: the place of calls in the last turn.
            goes_on: an assistant's turn at the end is the beginning of the answer; else it is a turn like any other.
            paused: the last turn is one that a provider goes on with behind its own tools, also where it has no text:
                whoever speaks another format is asked without it.

        Raises:
            InvalidRequestError: there is no turn to answer, or the last one is blank or calls tools.
        """
        if self._turns[-1].get("tool_calls"):
            raise InvalidRequestError(Problem(calls_place, "have no result", "a tool's message for each of them"))
        if paused and len(self._turns) > 1 and not self._said_last()["content"].strip():
            plain = require_last(self._plain[:-1], self._places[:-1])
            return Chat(tuple(self._turns[:-1]), self._joined(plain), "", {}, tuple(self.features.values()))
        if not goes_on:
            plain, prefix = require_last(self._plain, self._places), ""
        else:
            plain, prefix = split_prefix([*self._plain[:-1], self._said_last()], self._places)
        turns, fields = (self._turns[:-1], self._turns[-1]) if prefix else (self._turns, {})
        return Chat(tuple(turns), self._joined(plain), prefix, fields, tuple(self.features.values()))

    def _said_last(self) -> Mapping[str, str]:
        """Return the last turn in words; an assistant's without those for pictures and the like, as none is text."""
        last, content = self._plain[-1], self._turns[-1].get("content")
        if last["role"] != "assistant" or not isinstance(content, list):
            return last
        said = [part[part["type"]] for part in content if part["type"] in ("text", "refusal")]
        return {**last, "content": "\n".join(said)}

    def _joined(self, plain: tuple[Mapping[str, str], ...]) -> tuple[Mapping[str, str], ...]:
        if not self._joins:
            return plain
        joined: list[tuple[str, list[str]]] = []
        for place, message in enumerate(plain):
            if place in self._joins:
                joined[-1][1].append(message["content"])
            else:
                joined.append((message["role"], [message["content"]]))
        return tuple({"role": role, "content": "\n".join(texts)} for role, texts in joined)


def to_content(parts: Sequence[Mapping[str, Any]]) -> str | list[Mapping[str, Any]]:
    """Return parts as a content in OpenAI's form: a text where there is nothing else, which every upstream takes."""
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return "\n".join(text for text in texts if text) if len(texts) == len(parts) else list(parts)


def result_in_words(name: str, text: str) -> str:
    """Return the result of a call of the function `name` in words."""
    return f"Result of {name}: {text}"
