"""Writes streams as the events of one of OpenAI's Responses.

    response.created, response.in_progress           who begins
    response.output_item.added, …, .done             reasoning, then the text, then each tool call, one behind the other
      response.content_part.added, …, .done            the one part of a text: `output_text`, or `refusal` where a form
                                                       was demanded that nobody has; the same of reasoning
        response.output_text.delta …, .done              and `response.output_text.annotation.added` before its end
      response.function_call_arguments.delta, .done    what a tool is given, in one piece
    response.output_item.added, .done                an item of a tool that the provider runs
    response.completed, response.incomplete          the whole response, with `neverblank`
    error                                            the request turned out to be invalid

Every event has the next `sequence_number`. All of the text is one part of one item, whoever writes it: a model that
carries on where another one broke off goes on in it, and so does the last resort. Reasoning behind its first character
is left out: it would come out of order. An item that its model has written between two texts stands there between two
messages.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from deployments.http.alive import COMMENT, PARAGRAPH
from deployments.http.beside import thoughts_of
from deployments.http.problems import openai_body
from deployments.http.response_body import COMPLETED, INCOMPLETE, ResponseFrame, status_of_response
from deployments.http.response_items import (
    call_item,
    message_item,
    named_by_us,
    reasoning_item,
    refusal_part,
    text_part,
    thoughts_in,
)
from deployments.http.responses import event
from deployments.http.written_output import items_of
from deployments.policy.answer import Answer
from deployments.policy.blank import is_blank
from deployments.policy.extras import NO_EXTRAS, Extras
from deployments.policy.problem import Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamDone, TextDelta

Keep = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes a response that has ended, and returns it as it is given."""

_NOTHING, _REASONING, _TEXT, _ITEM = "", "reasoning", "text", "item"
"""What is open: nothing, or an item."""


class ResponseWriter:
    """Writes one stream; after an error of our own, the last resort goes on where it broke off."""

    sign_of_life = COMMENT

    def __init__(self, frame: ResponseFrame, request_id: str, keep: Keep) -> None:
        """Write into `frame` the answer to the request with this id; `keep` gets the response before it is given."""
        self._frame = frame
        self._keep = keep
        self._request_id = request_id
        self._number = 0
        self._begun = False
        self._broke = False
        self._refuses = False
        self._open = _NOTHING
        self._texts: list[str] = []
        self._writer = ""
        self._cited: list[Any] = []
        self._item: Mapping[str, Any] = {}  # the one that is open, as it was added
        self._item_id = ""
        self._held = ""
        self._pieces = 0
        self._messages = 0
        self._output: list[dict[str, Any]] = []

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Give the events of a stream."""
        if self._begun:
            self._broke = True
        else:
            self._begun = True
            for name in ("response.created", "response.in_progress"):
                yield self._event(name, response=self._frame.begun(stream.head.model))
        if self._open != _TEXT:
            self._refuses = stream.head.refusal
        async for item in stream:
            match item:
                case TextDelta(text, model, _):
                    self._writer = model
                    behind = self._broke and self._open == _TEXT
                    for written in self._text(f"{PARAGRAPH}{text}" if behind else text):
                        yield written
                case ExtrasDelta(extras, model, _):
                    for written in self._beside(extras, model):
                        yield written
                case StreamDone(answer):
                    status = INCOMPLETE if self._broke else status_of_response(answer)
                    for written in self._end(answer, status):
                        yield written
                    ended = self._frame.ended(answer, self._request_id, self._output, status, max(1, self._pieces))
                    yield self._event(f"response.{status}", response=await self._keep(ended))

    def refused(self, problem: Problem) -> Iterator[bytes]:
        """Give the error as it is documented, and in `error`, too: OpenAI's clients raise what they find there."""
        error = openai_body(problem)["error"]
        code = error["code"] or error["type"]  # the AI SDK reads no event whose code is null
        yield self._event("error", code=code, message=error["message"], param=error["param"], error=error)

    def _event(self, name: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return event({"type": name, "sequence_number": number, **fields}, name)

    def _text(self, text: str) -> Iterator[bytes]:
        """Give a piece of text. White space is held back until there is a text for it to be in."""
        self._pieces += 1
        if self._open != _TEXT:
            self._held += text
            if is_blank(self._held):
                return
            text, self._held = self._held.lstrip() if self._messages else self._held, ""
            yield from self._close(NO_EXTRAS, INCOMPLETE)
            self._open = _TEXT
            yield self._added(message_item(self._frame.key, self._messages, None, "in_progress"))
            yield self._of_part("response.content_part.added", part=self._part("", NO_EXTRAS))
        self._texts.append(text)
        beside: dict[str, Any] = {} if self._refuses else {"logprobs": []}
        yield self._of_part(f"response.{self._kind}.delta", delta=text, **beside)

    def _beside(self, extras: Extras, model: str) -> Iterator[bytes]:
        """Give what came beside the text; no items of whoever goes on with a text, as they would split it."""
        items = items_of(extras) if self._open != _TEXT or model == self._writer else []
        for stage, item in items:
            if stage == "added":
                yield from self._begin(item)
            else:
                yield from self._give(item)
        cited = extras.message.get("annotations")
        self._cited += cited if isinstance(cited, list) else []
        if not any(stage == "done" and item.get("type") == "reasoning" for stage, item in items):
            yield from self._thoughts(thoughts_of(extras.message))

    def _begin(self, item: dict[str, Any]) -> Iterator[bytes]:
        """Begin an item as its model has."""
        yield from self._close(NO_EXTRAS, COMPLETED)
        self._open, self._item = _REASONING if item.get("type") == "reasoning" else _ITEM, item
        begun: dict[str, Any] = {"content": [], "summary": []} if self._open == _REASONING else {}
        yield self._added({**named_by_us(item, self._frame.key, len(self._output)), **begun, "status": "in_progress"})

    def _give(self, item: dict[str, Any]) -> Iterator[bytes]:
        """Give an item that is whole, or what of it has not been given yet."""
        if self._open not in {_ITEM, _REASONING} or self._item.get("id") != item.get("id"):
            yield from self._begin(item)
        if self._open == _REASONING and not self._texts:
            yield from self._thoughts("\n\n".join(thoughts_in(item, summary=self._frame.wants_summary)))
        yield from self._end_thoughts()
        self._texts, self._open, self._item = [], _NOTHING, {}
        yield self._done(named_by_us(item, self._frame.key, len(self._output)))

    def _thoughts(self, text: str) -> Iterator[bytes]:
        if not text or self._open == _TEXT or (self._output and self._open == _NOTHING):
            return
        if self._open != _REASONING:
            self._open = _REASONING
            yield self._added(reasoning_item(self._frame.key, "", summary=False, status="in_progress"))
        if not self._texts:
            yield self._of_thoughts("part.added", part=self._thought(""))
        self._texts.append(text)
        yield self._of_thoughts("text.delta", delta=text)

    def _end(self, answer: Answer, status: str) -> Iterator[bytes]:
        cited = {**answer.extras.message, "annotations": self._cited}
        yield from self._close(replace(answer.extras, message=cited) if self._messages else answer.extras, status)
        for number, call in enumerate(answer.tool_calls):
            item, field = call_item(self._frame.key, number, call)
            name = "response.function_call_arguments" if field == "arguments" else "response.custom_tool_call_input"
            if not field:
                yield self._added({**item, "status": "in_progress"})
                yield self._done(item)
                continue
            yield self._added({**item, field: "", "status": "in_progress"})
            yield self._of_item(f"{name}.delta", item["id"], delta=item[field])
            yield self._of_item(f"{name}.done", item["id"], **{field: item[field]})
            yield self._done(item)

    def _close(self, extras: Extras, status: str) -> Iterator[bytes]:
        """End the item that is open. Of reasoning, whatever comes behind it, nothing is missing."""
        text = "".join(self._texts)
        if self._open == _TEXT:
            beside = extras or Extras(message={"annotations": self._cited})
            yield from self._close_text(text, beside, status)
            self._messages += 1
            self._cited = []
        elif self._open == _REASONING:
            yield from self._end_thoughts()
            whole = reasoning_item(self._frame.key, text, summary=self._frame.wants_summary)
            yield self._done({**whole, "id": self._item_id})
        elif self._open == _ITEM:
            whole = named_by_us(self._item, self._frame.key, len(self._output))
            yield self._done({**whole, "status": INCOMPLETE})
        self._texts, self._open, self._item = [], _NOTHING, {}

    def _end_thoughts(self) -> Iterator[bytes]:
        if self._open == _REASONING and self._texts:
            text = "".join(self._texts)
            yield self._of_thoughts("text.done", text=text)
            yield self._of_thoughts("part.done", part=self._thought(text))

    def _close_text(self, text: str, extras: Extras, status: str) -> Iterator[bytes]:
        part = self._part(text, extras)
        if self._refuses:
            yield self._of_part("response.refusal.done", refusal=text)
        else:
            for number, cited in enumerate(part["annotations"]):
                told = {"annotation": cited, "annotation_index": number}
                yield self._of_part("response.output_text.annotation.added", **told)
            yield self._of_part("response.output_text.done", text=text, logprobs=part["logprobs"])
        yield self._of_part("response.content_part.done", part=part)
        yield self._done(message_item(self._frame.key, self._messages, part, status))

    @property
    def _kind(self) -> str:
        return "refusal" if self._refuses else "output_text"

    def _part(self, text: str, extras: Extras) -> dict[str, Any]:
        return refusal_part(text) if self._refuses else text_part(text, extras)

    def _thought(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._frame.wants_summary else "reasoning_text", "text": text}

    def _added(self, item: Mapping[str, Any]) -> bytes:
        self._item_id = str(item["id"])
        return self._event("response.output_item.added", output_index=len(self._output), item=item)

    def _done(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _of_item(self, name: str, key: str, **fields: Any) -> bytes:
        return self._event(name, item_id=key, output_index=len(self._output), **fields)

    def _of_part(self, name: str, **fields: Any) -> bytes:
        return self._of_item(name, self._item_id, content_index=0, **fields)

    def _of_thoughts(self, name: str, **fields: Any) -> bytes:
        """Return an event of the reasoning, whose events have other names where it is a summary."""
        if self._frame.wants_summary:
            return self._of_item(f"response.reasoning_summary_{name}", self._item_id, summary_index=0, **fields)
        if name.startswith("part."):
            return self._of_part(f"response.content_{name}", **fields)
        return self._of_part(f"response.reasoning_{name}", **fields)
