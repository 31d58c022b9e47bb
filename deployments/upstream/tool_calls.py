"""Puts tool calls together, from the deltas of a stream or from a whole message, in each form that providers give them.

Deltas belong to the call with their `index`, but to that with their `id` where the two are not the same call and the
delta begins none; without an index, to the call with their `id`; without either, to the last call. A delta begins a new
call all the same where it names a function and its id is another one than the call's, or the call has all of its
arguments already: some providers give every call the index 0, or none. A new id without a name begins nothing: some
providers make one up for each delta. A delta with the id, the index and the name of a call is a part of it; so is one
without an index whose arguments are the call's, and more.

How pieces of arguments are read: `call_arguments`.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

import orjson

from deployments.policy.extras import fields_beside, is_flat, merge
from deployments.upstream.call_arguments import go_on, joined_arguments, keeps_a_place
from deployments.upstream.contents import to_count

MAX_CALLS = 128
_MAX_NAME = 256
_MAX_CHECKS = 256
_MAX_CHECKED = 1 << 18
"""Times that the arguments of one call are checked for being whole while they come, and the characters of them."""

_MAX_FIELD_DELTAS = 256
"""Deltas of one call that may change the fields beside it."""

_KINDS = {"function": "arguments", "custom": "input"}
"""The kinds of calls, and the field of their arguments. Those of a custom tool are any text."""

_SET_HERE = frozenset({"index", "id", "type", "function", "custom", "name", "arguments", "parameters"})


class ToolCall:
    """One call, as far as it has come."""

    def __init__(self) -> None:
        """Begin without anything."""
        self.id = ""
        self.kind = "function"
        self.name = ""
        self._pieces: list[str] = []
        self._length = 0
        self._is_too_deep = False
        self._fields: dict[str, Any] = {}
        self._inner: dict[str, Any] = {}
        self._field_deltas = 0
        self._checks = 0
        self._checked = 0

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take a delta of this call."""
        self.id = self.id or _text(delta.get("id"))
        kind = delta.get("type")
        if isinstance(kind, str) and kind in _KINDS:
            self.kind = kind
        elif "custom" in delta and "function" not in delta:
            self.kind = "custom"
        inner = _inner(delta)
        name = _text(inner.get("name"))
        if name and name != self.name:
            repeats = name.startswith(self.name) or len(self.name) + len(name) > _MAX_NAME
            self.name = name[:_MAX_NAME] if repeats else self.name + name
        piece = _arguments(inner, _KINDS[self.kind])
        if piece is None:
            self._is_too_deep = True
        elif piece:
            self._pieces.append(piece)
            self._length += len(piece)
        self._keep(fields_beside(delta, _SET_HERE), fields_beside(inner, _OWN_INNER) if inner is not delta else {})

    @property
    def has_arguments(self) -> bool:
        """Whether any arguments have come that do not only keep their place."""
        return bool(self._pieces) if self.kind == "custom" else not all(map(keeps_a_place, self._pieces))

    def is_whole(self) -> bool:
        """Return whether the arguments so far are whole; `False` where that was asked too often, or of too much."""
        if not self._pieces or self._checks >= _MAX_CHECKS or self._checked >= _MAX_CHECKED:
            return False
        self._checks += 1
        self._checked += self._length
        return self.arguments() is not None

    def repeats(self, delta: Mapping[str, Any]) -> bool:
        """Return whether `delta` says again what this call has: its last piece, or all of them."""
        inner = _inner(delta)
        piece = _arguments(inner, _KINDS[self.kind])
        if piece is None or _text(inner.get("name")) != self.name:
            return False
        return piece in {"", *self._pieces[-1:]} or (len(piece) == self._length and piece == "".join(self._pieces))

    def arguments(self) -> str | None:
        """Return the arguments as a text: a JSON object, or the input of a custom tool; `None` where they are none."""
        if self._is_too_deep:
            return None
        if self.kind == "custom":
            return "".join(self._pieces)
        return joined_arguments(self._pieces)

    def goes_on_in(self, delta: Mapping[str, Any]) -> bool:
        """Return whether the arguments of `delta` are all of those so far, which are whole, and more."""
        if self.kind == "custom":
            return False
        piece, before = _arguments(_inner(delta), _KINDS[self.kind]), self.arguments()
        return before is not None and piece is not None and go_on(before, piece)

    def to_json(self) -> dict[str, Any]:
        """Return the call in OpenAI's form, with the fields that its provider has put beside it."""
        inner = {"name": self.name, _KINDS[self.kind]: self.arguments() or "", **self._inner}
        return {"id": self.id, "type": self.kind, self.kind: inner, **self._fields}

    def _keep(self, fields: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
        """Keep what stands beside a call, and within it, where it is new."""
        if _has(self._fields, fields) and _has(self._inner, inner):
            return
        self._field_deltas += 1
        if self._field_deltas <= _MAX_FIELD_DELTAS:
            self._fields, self._inner = merge(self._fields, fields), merge(self._inner, inner)


class ToolCalls:
    """The calls of one message.

    Attributes:
        skipped: pieces that could not be read.
    """

    def __init__(self, tools: Collection[str] = ()) -> None:
        """Begin without calls; `tools` are the names of the tools that the caller offered."""
        self.skipped = 0
        self._tools = tools
        self._calls: list[ToolCall] = []
        self._by_index: dict[int, ToolCall] = {}

    def __bool__(self) -> bool:
        """Return whether there is a call."""
        return bool(self._calls)

    def add(self, deltas: Any, *, whole: bool = False) -> bool:
        """Take the `tool_calls` of a delta, or of a `whole` message; return whether there was anything in it."""
        entries = deltas if isinstance(deltas, list) else [deltas]
        found = False
        nameless = 0
        in_order = len(entries) == len(self._calls) and not self._are_told_by_id(entries)
        for place, entry in enumerate(entries[: MAX_CALLS * 2]):
            if not isinstance(entry, dict):
                self.skipped += 1
                continue
            named = bool(_text(_inner(entry).get("name")))
            if whole:
                call = self._begin() if place >= len(self._calls) else self._calls[place]
            elif to_count(entry.get("index")) is None and not named and in_order:
                call = self._calls[nameless]
                nameless += 1
            else:
                call = self._find(entry, named=named)
            if call is None:
                self.skipped += 1
                continue
            call.add(entry)
            found = True
        return found

    def is_cut(self) -> bool:
        """Return whether the last call may lack some of its arguments, where the tokens of the model ran out."""
        return bool(self._calls) and not self._calls[-1].has_arguments

    def fault(self) -> str:
        """Return what is wrong with the calls; empty where nothing is."""
        for call in self._calls:
            if not call.name:
                return "its tool calls are malformed: one has no name"
            if call.arguments() is None:
                return "its tool calls are malformed: the arguments of one are no JSON object"
        return ""

    def to_json(self) -> tuple[Mapping[str, Any], ...]:
        """Return the calls in OpenAI's form, each with an id of its own: a missing or repeated one is made up."""
        taken: set[str] = set()
        for call in self._calls:
            if not call.id or call.id in taken:
                call.id = f"call_{uuid4().hex[:24]}"
            taken.add(call.id)
        return tuple(call.to_json() for call in self._calls)

    def _find(self, delta: Mapping[str, Any], *, named: bool) -> ToolCall | None:
        """Return the call that a delta belongs to; `None` where there are too many calls."""
        index = to_count(delta.get("index"))
        key = _text(delta.get("id"))
        if index is not None:
            call = self._by_index.get(index)
            if call is not None and key and call.id == key and _text(_inner(delta).get("name")) == call.name:
                return call
            if key and ((call is None and not named) or (call is not None and call.id != key)):
                call = self._with_id(key) or call
        else:
            call = self._with_id(key)
            if call is None and self._calls and not (named and key):
                call = self._calls[-1]
        if call is None or (named and self._is_another(call, delta, key)):
            call = self._begin()
        if call is not None and index is not None:
            self._by_index[index] = call
        return call

    def _with_id(self, key: str) -> ToolCall | None:
        return next((call for call in self._calls if key and call.id == key), None)

    def _are_told_by_id(self, entries: list[Any]) -> bool:
        """Return whether each of the entries of one delta has an id of its own, and all are ids of calls."""
        keys = {_text(entry.get("id")) for entry in entries if isinstance(entry, dict)}
        return len(keys) == len(entries) and keys <= {call.id for call in self._calls if call.id}

    def _is_another(self, call: ToolCall, delta: Mapping[str, Any], key: str) -> bool:
        """Return whether a delta with a name begins another call than `call`."""
        if key and call.id and key != call.id:
            return True
        name = _text(_inner(delta).get("name"))
        if name == call.name and call.repeats(delta):
            return False
        if name != call.name and call.name in self._tools and name in self._tools:
            return True
        if not call.is_whole() or not call.name:
            return False
        return not (key and key == call.id and name == call.name and call.goes_on_in(delta))

    def _begin(self) -> ToolCall | None:
        if len(self._calls) >= MAX_CALLS:
            return None
        self._calls.append(ToolCall())
        return self._calls[-1]


_OWN_INNER = frozenset({"name", "arguments", "parameters", "input"})


def _inner(delta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a delta with the name and the arguments; some providers leave `function` out."""
    for kind in _KINDS:
        if isinstance(inner := delta.get(kind), dict):
            return inner
    return delta if "name" in delta or "arguments" in delta else {}


def _arguments(inner: Mapping[str, Any], key: str) -> str | None:
    """Return the arguments in a delta as a text; `None` where they are an object nested deeper than fields may be."""
    value = inner.get(key)
    if value is None:
        value = inner.get("parameters")
    if isinstance(value, str):
        return value
    if not isinstance(value, (dict, list)):
        return ""
    return orjson.dumps(value).decode() if is_flat(value) else None


def _has(known: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return all(known.get(key) == value for key, value in fields.items())


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value).strip()[:_MAX_NAME]
