"""Answers in OpenAI's two formats, as bodies of completions. `chunks` has the same for streams.

A provider's own fields go where the provider had them, beside ours: none of them replaces one of ours.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.http.counts import count_tokens, result_text
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.extras import Extras, combine
from deployments.request import InferenceRequest

_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})

OWN_BODY = frozenset({"id", "object", "created", "model", "choices", "usage", "neverblank", "error"})
OWN_CHOICE = frozenset({"index", "finish_reason", "message", "delta", "text"})
OWN_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls"})
"""The fields of a completion, of a choice and of a message that are ours, whatever a provider has in them."""


def theirs(fields: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    """Return a provider's fields without those that are our `own`."""
    return {key: value for key, value in fields.items() if key not in own}


def finish_reason(answer: Answer) -> str:
    """Return the finish reason in OpenAI's words: `stop` only for a complete answer, `length` for one that was cut.

    A last-resort message by itself is complete. A text that broke off and ends with the message was cut, and so was a
    text that ended at the deadline.
    """
    if answer.served_by is Tier.LAST_RESORT:
        return "length" if any(ended.from_character is not None for ended in answer.attempts) else "stop"
    return answer.finish_reason if answer.finish_reason in _FINISH_REASONS else "length"


def says_nothing_but_calls(answer: Answer) -> bool:
    """Return whether the answer is nothing but tool calls, without text."""
    return bool(answer.tool_calls) and not isinstance(answer.result, str)


def provenance(answer: Answer, request_id: str, *, usage_estimated: bool) -> dict[str, Any]:
    """Return the object `neverblank`: the tier that answered, the trace, and what is not as it was asked."""
    return {
        "served_by": answer.served_by.value,
        "degraded": answer.degraded,
        "finish_reason": answer.finish_reason,
        "attempts": [attempt.to_json() for attempt in answer.attempts],
        "request_id": request_id,
        **({"dropped": list(answer.dropped)} if answer.dropped else {}),
        **({"usage_estimated": True} if usage_estimated else {}),
    }


def further_choices(others: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the choices behind the first one, whole, whether they came whole or in pieces; each with its index."""
    pieces: dict[int, list[Mapping[str, Any]]] = {}
    for place, other in enumerate(others):
        index = other.get("index")
        pieces.setdefault(index if isinstance(index, int) and index > 0 else place + 1, []).append(other)
    return [_joined(index, pieces[index]) for index in sorted(pieces)]


def _joined(index: int, pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parts = [Extras(choice=theirs(piece, OWN_CHOICE), message=message_of(piece)) for piece in pieces]
    whole = combine(parts)
    reasons = [piece["finish_reason"] for piece in pieces if piece.get("finish_reason")]
    message = {"content": None, "refusal": None, **whole.message, "role": "assistant"}
    return {
        "logprobs": None,
        **whole.choice,
        "index": index,
        "finish_reason": reasons[-1] if reasons else "stop",
        "message": message,
    }


def message_of(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of a choice, or the piece of it that a chunk has."""
    message = piece.get("message") or piece.get("delta")
    return message if isinstance(message, Mapping) else {}


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

    def completion(
        self, answers: Sequence[Answer], requests: Sequence[InferenceRequest], request_id: str
    ) -> dict[str, Any]:
        """Return a whole completion, with a choice for each answer; `model` and `neverblank` describe the first.

        Args:
            answers: the answers.
            requests: what was asked, in the same order; empty where the request was not read.
            request_id: the id of the call.
        """
        counts = count_tokens(answers, requests)
        first = answers[0]
        choices = [self._choice(place, answer) for place, answer in enumerate(answers)]
        return {
            **theirs(first.extras.body, OWN_BODY),
            "id": f"{self.prefix}-{request_id}",
            "object": self.name,
            "created": int(time.time()),
            "model": first.model,
            "choices": choices + [self.as_choice(other) for other in further_choices(first.extras.others)],
            "usage": counts.usage,
            "neverblank": provenance(first, request_id, usage_estimated=counts.estimated),
        }

    def as_choice(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """Return a further choice in this format."""
        if self.is_chat:
            return dict(other)
        message = message_of(other)
        fields = {**theirs(other, OWN_CHOICE), **theirs(message, OWN_MESSAGE)}
        own = {"index": other["index"], "finish_reason": other.get("finish_reason"), "logprobs": None}
        return {**fields, **own, "text": message.get("content") or ""}

    def _choice(self, place: int, answer: Answer) -> dict[str, Any]:
        own: dict[str, Any] = {"index": place, "finish_reason": finish_reason(answer)}
        extras = answer.extras
        if not self.is_chat:
            fields = {**theirs(extras.choice, OWN_CHOICE), **theirs(extras.message, OWN_MESSAGE)}
            return {**fields, **own, "logprobs": None, "text": result_text(answer)}
        content = None if says_nothing_but_calls(answer) else result_text(answer)
        message = {**theirs(extras.message, OWN_MESSAGE), "role": "assistant", "content": content, "refusal": None}
        if answer.refusal:
            message |= {"content": None, "refusal": content}
        if answer.tool_calls:
            message["tool_calls"] = list(answer.tool_calls)
        return {"logprobs": None, **theirs(extras.choice, OWN_CHOICE), **own, "message": message}


CHAT = Format(True, "chatcmpl", "chat.completion", "chat.completion.chunk")
COMPLETION = Format(False, "cmpl", "text_completion", "text_completion")
