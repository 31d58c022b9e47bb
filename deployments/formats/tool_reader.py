"""Reads tool calls out of what a model writes, piece by piece: text is passed on, and nothing of a call's form leaks.

    text ──► held back while it may be the beginning of a call ──► a call: its JSON is read to its end ──► behind a call

What is neither white space nor a further call behind a call is dropped: models go on with a result they make up.
"""

import json
import re
from collections.abc import Collection, Mapping
from itertools import product
from typing import Any
from uuid import uuid4

from deployments.formats.tool_format import ToolFormat
from deployments.policy.extras import MAX_FIELD_DEPTH

MAX_CALLS_WRITTEN = 128
_MOST_HELD = 1024
"""Characters of the longest beginning of a call, up to its arguments: its white space has no other bound."""

_MAY_BEGIN = re.compile(r"[<\[{]")
_SPACE = " \t\r\n"


class _JsonEnd:
    """Finds the end of one JSON object or list, character by character."""

    def __init__(self) -> None:
        self.depth = 0
        self._in_text = False
        self._escaped = False

    def ends_with(self, character: str) -> bool:
        """Take the next character, and return whether it is the last one of the value."""
        if self._in_text:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_text = False
        elif character == '"':
            self._in_text = True
        elif character in "{[":
            self.depth += 1
        elif character in "}]":
            self.depth -= 1
            return self.depth <= 0
        return False


class ToolCallReader:
    """Reads one answer.

    Attributes:
        calls: the calls that are whole, in OpenAI's form, each with an id of its own.
        fault: what is wrong with a call; empty where nothing is. What follows it is dropped.
    """

    def __init__(self, form: ToolFormat, names: Collection[str]) -> None:
        """Read calls of the functions `names`, in the form `form`."""
        self.calls: list[Mapping[str, Any]] = []
        self.fault = ""
        self._mark = form.mark
        self._heads = _heads(names) if form.bare else frozenset()
        self._held = ""
        self._value: list[str] = []
        self._end: _JsonEnd | None = None  # of the value that is being read
        self._is_behind = False

    @property
    def in_call(self) -> bool:
        """Whether a call has begun: from here on, no text follows."""
        return self._is_behind or self._end is not None

    def feed(self, text: str) -> str:
        """Take the next piece of the answer, and return what is text for certain."""
        passed: list[str] = []
        self._held += text
        while self._held and not self.fault:
            if self._end is not None:
                if not self._read_value(self._end):
                    break
                continue
            certain, begins = self._find_call()
            if not self._is_behind:
                passed.append(self._held[:certain])
            if begins is None:
                self._held = self._held[certain:]
                break
            self._held = self._held[begins:]
            self._end, self._value = _JsonEnd(), []
        return "".join(passed)

    def finish(self) -> str:
        """Return the text that was held back, once the answer has ended. A call that has no end is a fault."""
        held, self._held = self._held, ""
        if self._end is not None or held.startswith(self._mark):
            self.fault = self.fault or "its tool call is not whole"
        return "" if self.in_call or self.fault else held

    def _find_call(self) -> tuple[int, int | None]:
        """Return how many characters are text for certain, and where the JSON of a call begins behind them.

        Where a mark has something else behind it than JSON, that is a fault.
        """
        held = self._held
        for found in _MAY_BEGIN.finditer(held):
            place = found.start()
            rest = held[place : place + _MOST_HELD]
            if rest.startswith(self._mark):
                begins = place + len(self._mark)
                while held[begins : begins + 1] and held[begins] in _SPACE:
                    begins += 1
                if begins == len(held):
                    return place, None
                if held[begins] not in "{[":
                    self.fault = "its tool call is malformed: it has no JSON"
                return place, begins
            if self._mark.startswith(rest):
                return place, None
            if self._heads and rest[0] in "{[":
                compact = "".join(rest.split())
                if any(compact.startswith(head) for head in self._heads):
                    return place, place
                if len(rest) < _MOST_HELD and any(head.startswith(compact) for head in self._heads):
                    return place, None
        return len(held), None

    def _read_value(self, end: _JsonEnd) -> bool:
        """Read on in the JSON of a call, and return whether it has ended."""
        for place, character in enumerate(self._held):
            if end.ends_with(character):
                self._value.append(self._held[: place + 1])
                self._held, self._end, self._is_behind = self._held[place + 1 :], None, True
                self._take("".join(self._value))
                return True
            if end.depth > MAX_FIELD_DEPTH:
                self.fault = "its tool call is nested too deep"
                return False
        self._value.append(self._held)
        self._held = ""
        return False

    def _take(self, text: str) -> None:
        try:
            value = json.loads(text, strict=False, parse_constant=_refuse)
        except ValueError:
            self.fault = "its tool call is malformed: it is no JSON"
            return
        for each in value if isinstance(value, list) else [value]:
            if (call := _read_call(each)) is None:
                self.fault = "its tool call is malformed: it lacks a name, or its arguments are no object"
            elif len(self.calls) >= MAX_CALLS_WRITTEN:
                self.fault = f"it wrote more than {MAX_CALLS_WRITTEN} tool calls"
            else:
                self.calls.append(call)


def _read_call(value: Any) -> Mapping[str, Any] | None:
    if not isinstance(value, dict):
        return None
    name, arguments = value.get("name"), value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # some models write them as OpenAI's API gives them
        try:
            arguments = json.loads(arguments, strict=False, parse_constant=_refuse)
        except ValueError:
            return None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    try:
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        written.encode()  # half of a surrogate pair is no text
    except ValueError:
        return None
    function = {"name": name, "arguments": written}
    return {"id": f"call_{uuid4().hex[:24]}", "type": "function", "function": function}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _heads(names: Collection[str]) -> frozenset[str]:
    """How the JSON of a bare call may begin, up to its arguments, without white space."""
    parts = product(("", "["), ("", '"type":"function",'), names, ("arguments", "parameters"))
    return frozenset(f'{opened}{{{kind}"name":"{name}","{key}":' for opened, kind, name, key in parts)
