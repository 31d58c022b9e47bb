"""Reads the events of a response into texts, what stands beside them, and an end.

A whole completion is read as a stream of one event, so that both are read alike. What is announced does not matter: a
stream may hold a whole message, and a whole response may be a stream.

    an error object, in any place   as in the table of `faults`
    it can be read nowhere          Failed      HTML, a plain text, broken JSON
    no content at all               Blank
    a finish reason came            as in the table of `finish`, whether or not `[DONE]` came
    none came                       Failed      transient: it was truncated
    malformed events in a row       Failed      after `MAX_MALFORMED`; fewer are skipped, counted and logged
    tool calls                      Failed      where one has no name, or its arguments are no object, or are cut

Heartbeats (empty data, `{}`, `ping`) are no events. A malformed event in a healthy stream loses only its own content.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import orjson

from deployments.policy.extras import Extras, fields_beside, merge_all
from deployments.policy.outcome import Blank, Failed, Finished, Refused, StreamEnd, StreamPart
from deployments.request.passing import MAX_CHOICES
from deployments.upstream.choice import ChoiceReader
from deployments.upstream.contents import read_usage, to_count
from deployments.upstream.decoding import decode_values
from deployments.upstream.envelopes import HEARTBEATS, completion_within, is_heartbeat, usage_within, with_reason
from deployments.upstream.finish import Ending
from deployments.upstream.passage import NO_ANSWER, is_last_resort
from deployments.upstream.plain_chunk import text_of_plain
from deployments.upstream.recognition import is_complaint
from deployments.upstream.sse import Event
from deployments.upstream.translation import AT_WORK, Translator

MAX_MALFORMED = 3
_DONE = "[DONE]"
_PADDING = " \t\r\n\x00\ufeff"
OF_BODY = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "neverblank"})
"""Fields of a completion that are read or made here; all others are kept beside the answer."""

_CALLING = ("tool_calls", "tool_use", "tool_call", "function_call")


class ChunkReader:
    """Reads the events of one response.

    Attributes:
        is_done: `[DONE]` has arrived.
        error: the error object that ended the response; empty where there is none.
        skipped_for: the reasons for which events were skipped, with their numbers.
    """

    def __init__(
        self,
        tools: Collection[str] = (),
        *,
        has_thoughts: bool = True,
        asked_for: Collection[str] = (),
        translator: Translator | None = None,
    ) -> None:
        """Begin before the first event.

        Args:
            tools: the names of the tools that the caller offered.
            has_thoughts: a text that begins with the tag of thoughts has some; else it is text, whatever is in it.
            asked_for: the tags of thoughts that the request speaks of.
            translator: turns the events of another format into chunks; `None` for those of chats.
        """
        self.is_done = False
        self.error: Mapping[str, Any] = {}
        self.skipped_for: dict[str, int] = {}
        self._translator = translator
        self._new_choice = partial(ChoiceReader, tools, has_thoughts=has_thoughts, asked_for=asked_for)
        self._malformed = 0
        self._values = 0
        self._has_no_answer = False  # it is a service of ours, and speaks its last resort
        self._choices: dict[int, ChoiceReader] = {}
        self._parts: dict[int, list[StreamPart]] = {}
        self._usages: list[dict[str, Any]] = []
        self._bodies: list[dict[str, Any]] = []
        self._known: dict[str, Any] = {}  # the last values of the fields in those bodies

    @property
    def is_broken(self) -> bool:
        """Whether nothing that may follow counts: there is an error, or nothing can be read."""
        main = self._choices.get(0)
        has_failed = main is not None and main.ending is Ending.FAILED
        return bool(self.error) or has_failed or self._malformed > MAX_MALFORMED

    @property
    def has_ended(self) -> bool:
        """Whether all choices have ended; token counts may follow for a moment."""
        return bool(self._choices) and all(choice.has_ended for choice in self._choices.values())

    @property
    def has_read(self) -> bool:
        """Whether anything could be read."""
        return self._values > 0

    @property
    def skipped(self) -> int:
        """The number of events, and of pieces of them, that were left out."""
        return sum(self.skipped_for.values()) + sum(choice.skipped for choice in self._choices.values())

    def feed(self, event: Event) -> list[StreamPart]:
        """Read one event and return its parts; an empty text says that the model is at work."""
        if self.is_done:
            return []
        if text := self._read_plain(event):
            return [text]
        try:
            value = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            return self._feed_leniently(event.data.strip(_PADDING), event.name)
        self._malformed = 0
        return self._read(value, event.name)

    def _read_plain(self, event: Event) -> str:
        """Return the text of an event of the most common shape, in the midst of an answer; empty for any other one."""
        main = self._choices.get(0)
        if main is None or event.name or not main.is_amid:
            return ""
        text = text_of_plain(event.data, self._known)
        if not text or not main.take(text):
            return ""
        self._malformed = 0
        self._values += 1
        return text

    def _feed_leniently(self, data: str, name: str) -> list[StreamPart]:
        if not data:
            return []
        if data.endswith(_DONE):
            parts = self.feed(Event(data.removesuffix(_DONE), name))
            self.is_done = True
            return parts
        try:
            values = decode_values(data)
        except ValueError:
            if name == "error":
                self._fail({"error": {"message": data[:1000]}})
            elif name not in HEARTBEATS:
                self._skip("it is not JSON")
                self._malformed += not self.has_ended
            return []
        self._malformed = 0
        return [part for value in values for part in self._read(value, name)]

    def finish(self) -> list[StreamPart]:
        """Return what was held back, once no more events come."""
        parts: list[StreamPart] = []
        for index, choice in self._choices.items():
            (parts if index == self._first else self._parts[index]).extend(choice.finish())
        if 0 not in self._choices and self._choices:  # its provider counts from 1
            parts = [*self._parts.pop(self._first), *parts]
        return parts

    def end(self) -> StreamEnd:
        """Return the end of the response, behind what `finish` returns."""
        if self._malformed > MAX_MALFORMED:
            return Failed(f"its stream has {self._malformed} events in a row that cannot be read")
        if self._has_no_answer:
            return Refused(NO_ANSWER)
        if not self._choices:
            if self.skipped_for and not self._values:
                return Failed("its response is not a JSON object")
            return Failed("its response has no choices with a message") if self._values else Blank("it is empty")
        choice = self._choices[self._first]
        if choice.ending is Ending.FAILED:
            return Failed(f"it ended its answer with {choice.word!r}", transient=True)
        if choice.ending is Ending.WITHHELD or choice.refused:
            return self._finished(choice, Ending.WITHHELD.value)
        if not choice.has_content:
            complete, cut = choice.ending is Ending.COMPLETE, choice.ending is Ending.CUT
            return Blank(_why_blank(choice), complete=complete, cut=cut)
        if choice.ending is Ending.NOT_AN_END or (choice.is_unsure and not self.is_done):
            return Failed("its stream ended without a finish reason", transient=True)
        if not choice.calls:
            return self._finished(choice, choice.ending.value)
        if choice.ending is Ending.CUT and (choice.calls.is_cut() or choice.calls.fault()):
            ended_in = f"its tool calls are malformed: the answer ended in one of them ({choice.word})"
            return Failed(ended_in, misfit=True, cut=True)
        if fault := choice.calls.fault():
            return Failed(fault)
        return self._finished(choice, "tool_calls")

    @property
    def _first(self) -> int:
        return 0 if 0 in self._choices else min(self._choices, default=0)

    def _read(self, value: Any, name: str) -> list[StreamPart]:
        """Read one value of an event."""
        if not isinstance(value, dict):
            if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
                return [part for each in value for part in self._read(each, name)]
            return [] if name in HEARTBEATS else self._skip("it is not an object")
        choices = value.get("choices")
        if not choices and (wrapped := completion_within(value)) is not None:
            value, choices = wrapped, wrapped["choices"]
        if name == "error" or is_complaint(value):
            self._fail(value)
            return []
        if not choices and is_heartbeat(value, name):
            return []
        if self._translator is not None and choices is None:
            return self._read_translated(self._translator, value)
        return self._read_chunk(value)

    def _read_translated(self, translator: Translator, value: Mapping[str, Any]) -> list[StreamPart]:
        if (chunks := translator.read(value)) is None:
            return self._skip("it is no event of its format")
        if chunks is AT_WORK:
            return [""]
        for chunk in (chunk for chunk in chunks if "error" in chunk):
            self._fail(chunk)
        parts = [part for chunk in chunks if "error" not in chunk for part in self._read_chunk(chunk)]
        self.is_done = self.is_done or translator.is_over
        return parts

    def _read_chunk(self, value: Mapping[str, Any]) -> list[StreamPart]:
        choices = value.get("choices")
        choices = [choices] if isinstance(choices, dict) else choices
        if value.get("finish_reason"):
            choices = with_reason(choices, value["finish_reason"])
        has_usage = self._count(usage_within(value))
        if not isinstance(choices, list):
            return [] if has_usage else self._skip("it has no choices")
        self._values += 1
        self._has_no_answer = self._has_no_answer or is_last_resort(value)
        for key in value:
            if key not in OF_BODY and self._known.get(key) != value[key]:
                fields = fields_beside(value, OF_BODY)
                self._bodies.append(fields)
                self._known |= fields
                break
        if len(choices) == 1:
            return self._read_choice(choices[0], 0)
        return [part for place, choice in enumerate(choices) for part in self._read_choice(choice, place)]

    def _read_choice(self, choice: Any, place: int) -> list[StreamPart]:
        if not isinstance(choice, dict):
            return self._skip("a choice is not an object")
        index = choice.get("index")
        if index != 0:
            index = to_count(index)
            index = place if index is None else index
        reader = self._choices.get(index)
        if reader is None:
            if len(self._choices) >= MAX_CHOICES:
                return self._skip("it has too many choices")
            reader = self._choices[index] = self._new_choice()
            self._parts[index] = []
        parts = reader.feed(choice)
        if "usage" in choice:
            self._count(choice["usage"])
        if reader.error and index == 0:
            self._fail(reader.error)
        if index == 0:
            return parts
        self._parts[index] += parts
        return [""] if parts else []

    def _count(self, usage: Any) -> bool:
        if not isinstance(usage, dict) or not usage:
            return False
        self._usages.append(fields_beside(usage, ()))
        return True

    def _finished(self, choice: ChoiceReader, reason: str) -> Finished:
        calls = choice.calls.to_json() if reason == "tool_calls" else ()
        further = [(index, other) for index, other in sorted(self._choices.items()) if other is not choice]
        usable = [(index, other) for index, other in further if other.is_usable]
        others = tuple(other.to_json(place, self._parts[index]) for place, (index, other) in enumerate(usable, 1))
        missing = len(further) - len(usable)
        usage = merge_all(self._usages)
        extras = Extras(merge_all(self._bodies), merge_all(choice.fields), {}, usage, others)
        dropped = (f"n:{missing}",) if missing else ()
        return Finished(reason, read_usage(usage), calls, extras, self.skipped, dropped)

    def _fail(self, error: Mapping[str, Any]) -> None:
        """Note an error, unless the answer has ended before it."""
        if not self.has_ended:
            self.error = error

    def _skip(self, why: str) -> list[StreamPart]:
        self.skipped_for[why] = self.skipped_for.get(why, 0) + 1
        return []


def _why_blank(choice: ChoiceReader) -> str:
    if choice.ending is Ending.CUT:
        return f"it ended before any visible content ({choice.word})"
    if choice.reasoned:
        return "it reasoned, and said nothing"
    if choice.word in _CALLING:
        return "it announced a tool call, and made none"
    return "it returned no visible content"
