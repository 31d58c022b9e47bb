"""Answers in OpenAI's two formats: bodies of completions, and chunks of streams."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.outcome import Usage

_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


def finish_reason(answer: Answer) -> str:
    """Return the finish reason in OpenAI's words: `stop` only for a complete answer, `length` for one that was cut.

    A last-resort message by itself is complete. A text that broke off and ends with the message was cut, and so was a
    text that ended at the deadline.
    """
    if answer.served_by is Tier.LAST_RESORT:
        return "length" if any(ended.from_character is not None for ended in answer.attempts) else "stop"
    return answer.finish_reason if answer.finish_reason in _FINISH_REASONS else "length"


def result_text(answer: Answer) -> str:
    """Return the result as a text: JSON where it is not a text."""
    return answer.result if isinstance(answer.result, str) else orjson.dumps(answer.result).decode()


def says_nothing_but_calls(answer: Answer) -> bool:
    """Return whether the answer is nothing but tool calls, without text."""
    return bool(answer.tool_calls) and not isinstance(answer.result, str)


def usage_of(answers: Sequence[Answer]) -> dict[str, int] | None:
    """Return the sum of the token counts; `None` where a model did not count. A last resort counts as 0 tokens."""
    counts = [
        Usage(0, 0) if answer.served_by is Tier.LAST_RESORT and answer.usage is None else answer.usage
        for answer in answers
    ]
    known = [usage for usage in counts if usage is not None]
    if len(known) < len(counts):
        return None
    return Usage(sum(usage.prompt_tokens for usage in known), sum(usage.completion_tokens for usage in known)).to_json()


def provenance(answer: Answer, request_id: str) -> dict[str, Any]:
    """Return the object `neverblank`: the tier that answered, and the trace."""
    return {
        "served_by": answer.served_by.value,
        "degraded": answer.degraded,
        "finish_reason": answer.finish_reason,
        "attempts": [attempt.to_json() for attempt in answer.attempts],
        "request_id": request_id,
    }


@dataclass(frozen=True, slots=True)
class Format:
    """One of the two formats.

    Attributes:
        is_chat: choices hold messages; else they hold texts.
        prefix: the beginning of ids.
        name: the `object` of a completion.
        chunk_name: the `object` of a chunk.
    """

    is_chat: bool
    prefix: str
    name: str
    chunk_name: str

    def completion(self, answers: Sequence[Answer], request_id: str) -> dict[str, Any]:
        """Return a whole completion, with a choice for each answer; `model` and `neverblank` describe the first."""
        return {
            "id": f"{self.prefix}-{request_id}",
            "object": self.name,
            "created": int(time.time()),
            "model": answers[0].model,
            "choices": [self._choice(place, answer) for place, answer in enumerate(answers)],
            "usage": usage_of(answers),
            "neverblank": provenance(answers[0], request_id),
        }

    def chunks(self, request_id: str, *, with_usage: bool) -> "Chunks":
        """Return the maker of the chunks of one streamed completion."""
        return Chunks(self, f"{self.prefix}-{request_id}", request_id, int(time.time()), with_usage)

    def _choice(self, place: int, answer: Answer) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": place, "finish_reason": finish_reason(answer), "logprobs": None}
        if not self.is_chat:
            return {**choice, "text": result_text(answer)}
        content = None if says_nothing_but_calls(answer) else result_text(answer)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if answer.refusal:
            message |= {"content": None, "refusal": content}
        if answer.tool_calls:
            message["tool_calls"] = list(answer.tool_calls)
        return {**choice, "message": message}


CHAT = Format(True, "chatcmpl", "chat.completion", "chat.completion.chunk")
COMPLETION = Format(False, "cmpl", "text_completion", "text_completion")


@dataclass(frozen=True, slots=True)
class Chunks:
    """Makes the chunks of one completion; each names the model that wrote it."""

    form: Format
    id: str
    request_id: str
    created: int
    with_usage: bool

    def first(self, model: str) -> Iterator[dict[str, Any]]:
        """Give the chunk that names the role; a text completion has none."""
        if self.form.is_chat:
            yield self._chunk(model, {"role": "assistant", "content": "", "refusal": None}, "")

    def text(self, text: str, model: str, *, refusal: bool = False) -> dict[str, Any]:
        """Return the chunk of a piece of the answer; with `refusal`, of the text of a refusal."""
        return self._chunk(model, {"refusal" if refusal else "content": text}, text)

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """Give the last chunks: tool calls, the finish reason, and the token counts if the request asked for those."""
        if answer.tool_calls and self.form.is_chat:
            calls = [{"index": place, **call} for place, call in enumerate(answer.tool_calls)]
            yield self._chunk(answer.model, {"tool_calls": calls}, "")
        end = self._chunk(answer.model, {}, "", finish_reason(answer))
        yield {**end, "neverblank": provenance(answer, self.request_id)}
        if self.with_usage:
            yield {**self._chunk(answer.model, {}, ""), "choices": [], "usage": usage_of([answer])}

    def _chunk(self, model: str, delta: dict[str, Any], text: str, reason: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        chunk = {
            "id": self.id,
            "object": self.form.chunk_name,
            "created": self.created,
            "model": model,
            "choices": [{**choice, "delta": delta} if self.form.is_chat else {**choice, "text": text}],
        }
        return {**chunk, "usage": None} if self.with_usage else chunk
