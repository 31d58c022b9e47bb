"""Reads the chunks of a streamed completion into texts and an end.

    an error object                 as in the table of `faults`
    no content at all               Blank
    a finish reason came            Finished    whether or not `[DONE]` did
    none came                       Failed      transient: it was truncated
    malformed events in a row       Failed      after `MAX_MALFORMED`; fewer are skipped and logged

A malformed event in an otherwise healthy stream loses only its own content.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.policy.blank import is_blank
from deployments.policy.outcome import Blank, Failed, Finished, StreamEnd, Usage
from deployments.upstream.wire import (
    WITHHELD,
    is_tool_call,
    read_content,
    read_finish_reason,
    read_usage,
)

MAX_MALFORMED = 3
_DONE = "[DONE]"


@dataclass(slots=True)
class ChunkReader:
    """Reads the events of one stream.

    Attributes:
        finish_reason: the finish reason; empty until it arrives.
        done: `[DONE]` has arrived.
        error: the error object that ended the stream; empty where there is none.
        skipped: the reason why the last event was skipped; empty where it was read.
    """

    finish_reason: str = ""
    done: bool = False
    error: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""
    _usage: Usage | None = None
    _has_content: bool = False
    _reasoned: bool = False
    _refused: bool = False
    _malformed: int = 0
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        """Whether the stream cannot be read any further."""
        return bool(self.error) or self._malformed > MAX_MALFORMED

    def feed(self, data: str) -> list[str]:
        """Read one event and return its texts; an empty text says that the model is at work."""
        self.skipped = ""
        if self.done or data.strip() == _DONE:
            self.done = True
            return []
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return self._skip("it is not JSON")
        if not isinstance(chunk, Mapping):
            return self._skip("it is not an object")
        if chunk.get("error"):
            self.error = chunk
            return []
        return self._read(chunk)

    def end(self) -> StreamEnd:
        """Return the end of the stream, once no more events come."""
        if self._malformed > MAX_MALFORMED:
            return Failed(f"its stream has {self._malformed} events in a row that cannot be read")
        if not self._has_content and not self._calls:
            said = "it reasoned, and said nothing" if self._reasoned else "its stream had no content"
            return Blank(said, complete=self.finish_reason == "stop", cut=self.finish_reason == "length")
        if not self.finish_reason:
            return Failed("its stream ended without a finish reason", transient=True)
        calls = tuple(self._calls[place] for place in sorted(self._calls))
        if not all(is_tool_call(call) for call in calls):
            return Failed("its tool calls are malformed")
        if calls:
            return Finished("tool_calls", self._usage, calls)
        return Finished("content_filter" if self._refused else self.finish_reason, self._usage)

    def _read(self, chunk: Mapping[str, Any]) -> list[str]:
        self._usage = read_usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return self._skip("it has no choices")
        self._malformed = 0
        if not choices or not isinstance(choices[0], Mapping):
            return []
        texts = self._read_delta(choices[0].get("delta"))
        if choices[0].get("finish_reason") is not None:
            self.finish_reason = read_finish_reason(choices[0]["finish_reason"])
            if self.finish_reason == "content_filter" and not self._has_content:
                self._has_content = True
                texts.append(WITHHELD)
        return texts

    def _read_delta(self, delta: Any) -> list[str]:
        if not isinstance(delta, Mapping):
            return []
        text = read_content(delta.get("content")) or read_content(delta.get("refusal"))
        self._refused = self._refused or bool(delta.get("refusal"))
        if text:
            self._has_content = self._has_content or not is_blank(text)
            return [text]
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            self._read_call(call)
        reasoned = bool(delta.get("reasoning_content") or delta.get("reasoning"))
        self._reasoned = self._reasoned or reasoned
        return [""] if calls or reasoned else []

    def _read_call(self, delta: Any) -> None:
        if not isinstance(delta, Mapping):
            return
        place = delta.get("index", 0)
        call = self._calls.setdefault(place if isinstance(place, int) else 0, {})
        function = delta.get("function")
        if isinstance(delta.get("id"), str):
            call["id"] = delta["id"]
        call.setdefault("type", "function")
        known = call.setdefault("function", {"name": "", "arguments": ""})
        for key in ("name", "arguments"):
            if isinstance(function, Mapping) and isinstance(function.get(key), str):
                known[key] += function[key]

    def _skip(self, why: str) -> list[str]:
        self._malformed += 1
        self.skipped = why
        return []
