"""Writes streams as the events of one message of Anthropic's.

    message_start                                         who begins, with an estimate of the tokens that were read
    content_block_start, _delta …, content_block_stop     a block of reasoning, one of text, one for each tool call
    message_delta                                         why it ends, the token counts, `neverblank`
    message_stop
    ping                                                  a sign of life, at any place
    error                                                 the request turned out to be invalid

One block is open at a time. All of the text is one block, whoever writes it: a model that carries on where another one
broke off goes on in it, and so does the last resort. Reasoning behind its first character is left out: it would split
the block. What the model that writes the text has written between two texts, a provider's tools or signed reasoning,
stands there between two blocks of text.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import orjson

from deployments.http.alive import PARAGRAPH
from deployments.http.beside import counts_of, provenance_and_extras, thoughts_of
from deployments.http.message import OF_REASONING, PLACED, blocks_before, message_id, stop_of, tool_use, usage_of
from deployments.http.problems import anthropic_body
from deployments.http.responses import event
from deployments.http.written_output import items_of
from deployments.policy.answer import Answer
from deployments.policy.blank import is_blank
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import Problem
from deployments.policy.stream_events import AnswerStream, ExtrasDelta, StreamDone, TextDelta
from deployments.request import InferenceRequest
from deployments.request.dialogue import UNSIGNED
from deployments.request.prompt_estimate import estimate_prompt_tokens

PING = event({"type": "ping"}, "ping")


class MessageWriter:
    """Writes one stream; after an error of our own, the last resort goes on where it broke off."""

    sign_of_life = PING

    def __init__(self, request: InferenceRequest | None, request_id: str) -> None:
        """Write the answer to `request`, which is `None` where it was not read."""
        self._request = request
        self._request_id = request_id
        self._begun = False
        self._blocks = 0
        self._open = ""
        self._held = ""
        self._signature = UNSIGNED
        self._pieces = 0
        self._cut = False
        self._writer = ""
        self._has_said = False
        self._cited: list[Mapping[str, Any]] = []

    async def events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Give the events of a stream."""
        if not self._begun:
            self._begun = True
            yield self._start(stream.head.model)
        self._cut = self._has_said or self._open not in ("", "thinking")
        async for item in stream:
            match item:
                case TextDelta(text, model, _):
                    self._writer = model
                    for written in self._text(f"{PARAGRAPH}{text}" if self._cut else text):
                        yield written
                case ExtrasDelta(extras, model, _):
                    for written in self._beside(extras, model):
                        yield written
                case StreamDone(answer):
                    for written in self._end(answer):
                        yield written

    def refused(self, problem: Problem) -> Iterator[bytes]:
        """Give the error as Anthropic's clients expect it in a stream: they raise it."""
        yield event(anthropic_body(problem, self._request_id), "error")

    def _start(self, model: str) -> bytes:
        read = estimate_prompt_tokens(self._request) if self._request is not None else 0
        message: dict[str, Any] = {
            "id": message_id(self._request_id),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(Usage(read, 0).to_json()),
        }
        return event({"type": "message_start", "message": message}, "message_start")

    def _text(self, text: str) -> Iterator[bytes]:
        """Give a piece of text. White space is held back until there is a text for it to be in."""
        self._pieces += 1
        if self._open != "text":
            self._held += text
            if is_blank(self._held):
                return
            text, self._held = self._held.lstrip() if self._has_said else self._held, ""
            yield from self._begin({"type": "text", "text": ""})
            self._has_said = True
            yield from self._cite()
        yield self._delta({"type": "text_delta", "text": text})

    def _beside(self, extras: Extras, model: str) -> Iterator[bytes]:
        """Give reasoning, and other blocks: those that their model has signed are whole, and so is each of them."""
        cited = extras.message.get("citations")
        self._cited += [each for each in (cited if isinstance(cited, list) else ()) if _is_citation(each)]
        if self._open == "text":
            yield from self._cite()
        blocks = blocks_before(extras)
        is_of_another = self._open == "text" and not (items_of(extras) and model == self._writer)
        if is_of_another or all(block.get("signature") == UNSIGNED for block in blocks):
            yield from self._thoughts(thoughts_of(extras.message))
            return
        for block in blocks:
            if block.get("type") not in OF_REASONING:
                yield from self._give(block)
                continue
            begun = {**block, "thinking": "", "signature": ""} if block["type"] == "thinking" else block
            if not (self._open == block["type"] == "thinking"):
                yield from self._begin(begun)
                yield from self._thoughts(str(block.get("thinking") or ""))
            self._signature = str(block.get("signature") or UNSIGNED)
            yield from self._close()

    def _thoughts(self, text: str) -> Iterator[bytes]:
        if not text or self._open == "text":
            return
        if self._open != "thinking":
            yield from self._begin({"type": "thinking", "thinking": "", "signature": ""})
        yield self._delta({"type": "thinking_delta", "thinking": text})

    def _give(self, block: Mapping[str, Any]) -> Iterator[bytes]:
        """Give a whole block; what a tool is given comes in a delta, as accumulating clients expect it."""
        given = block.get("input")
        yield from self._begin(block if given is None else {**block, "input": {}})
        if given is not None:
            partial = given if isinstance(given, str) else orjson.dumps(given).decode()
            yield self._delta({"type": "input_json_delta", "partial_json": partial})
        yield from self._close()

    def _cite(self) -> Iterator[bytes]:
        cited, self._cited = self._cited, []
        for citation in cited:
            yield self._delta({"type": "citations_delta", "citation": citation})

    def _end(self, answer: Answer) -> Iterator[bytes]:
        for call in answer.tool_calls:
            block, arguments = tool_use(call)
            yield from self._begin(block)
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})
        yield from self._close()
        counts = counts_of(answer, self._request, max(1, self._pieces))
        end = {
            "type": "message_delta",
            "delta": stop_of(answer, self._request, cut=self._cut),
            "usage": usage_of(counts.usage),
            "neverblank": provenance_and_extras(
                answer, self._request_id, usage_estimated=counts.estimated, placed=PLACED
            ),
        }
        yield event(end, "message_delta")
        yield event({"type": "message_stop"}, "message_stop")

    def _begin(self, block: Mapping[str, Any]) -> Iterator[bytes]:
        """Begin a block, and end the one that is open."""
        yield from self._close()
        self._open = str(block["type"])
        started = {"type": "content_block_start", "index": self._blocks, "content_block": block}
        yield event(started, "content_block_start")

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self._blocks, "delta": delta}, "content_block_delta")

    def _close(self) -> Iterator[bytes]:
        if not self._open:
            return
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": self._signature})
        yield event({"type": "content_block_stop", "index": self._blocks}, "content_block_stop")
        self._open, self._signature = "", UNSIGNED
        self._blocks += 1


def _is_citation(told: Any) -> bool:
    """Return whether a citation is one of this format."""
    return isinstance(told, Mapping) and isinstance(told.get("type"), str) and "cited_text" in told
