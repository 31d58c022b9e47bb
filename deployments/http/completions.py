"""Answers in OpenAI's two formats, as bodies of completions. `chunks` has the same for streams.

A provider's own fields go where the provider had them, beside ours: none of them replaces one of ours.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from deployments.http.counts import count_tokens, result_text
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier, trace_to_json
from deployments.request import InferenceRequest
from deployments.request.openai import repeated

_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})

OWN_BODY = frozenset({"id", "object", "created", "model", "choices", "usage", "neverblank", "error"})
OWN_CHOICE = frozenset({"index", "finish_reason", "message", "delta", "text"})
OWN_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls"})
"""The fields of a completion, of a choice and of a message that are ours, whatever a provider has in them."""


def theirs(fields: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    """Return a provider's fields without those that are our `own`."""
    return {key: value for key, value in fields.items() if key not in own} if fields else {}


def finish_reason(answer: Answer, *, cut: bool = False) -> str:
    """Return the finish reason in OpenAI's words: `stop` only for a complete answer, `length` for one that was cut.

    A last-resort message by itself is complete. A text that broke off and ends with the message was cut, and so was a
    text that ended at the deadline.

    Args:
        answer: the answer.
        cut: it stands behind a part of another one, which an error of our own has ended.
    """
    if cut:
        return "length"
    if answer.served_by is Tier.LAST_RESORT:
        return "length" if any(ended.from_character is not None for ended in answer.attempts) else "stop"
    return answer.finish_reason if answer.finish_reason in _FINISH_REASONS else "length"


def says_nothing_but_calls(answer: Answer) -> bool:
    """Return whether the answer is nothing but tool calls, without text."""
    return bool(answer.tool_calls) and not isinstance(answer.result, str)


def provenance(answer: Answer, request_id: str, *, usage_estimated: bool) -> dict[str, Any]:
    """Return the object `neverblank`: the tier that answered, the trace, and what is not as it was asked."""
    return {
        "served_by": str(answer.served_by),
        "degraded": answer.degraded,
        "finish_reason": answer.finish_reason,
        "attempts": trace_to_json(answer.attempts),
        "request_id": request_id,
        **({"dropped": list(answer.dropped)} if answer.dropped else {}),
        **({"usage_estimated": True} if usage_estimated else {}),
    }


def of_texts(logprobs: Any, offset: int = 0) -> dict[str, Any] | None:
    """Return the `logprobs` of a chat as those of a text completion; `None` where there are none that can be read.

    As OpenAI does, the likeliest tokens of each place are told together with the one that was written.

    Args:
        logprobs: those of a chat.
        offset: characters before the first of their tokens, in the text of the choice.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not all(isinstance(each, Mapping) for each in content):
        return None
    tokens = [str(each.get("token", "")) for each in content]
    offsets = [*accumulate((len(token) for token in tokens), initial=offset)]
    return {
        "tokens": tokens,
        "token_logprobs": [each.get("logprob") for each in content],
        "top_logprobs": [_likeliest(each) for each in content],
        "text_offset": offsets[:-1],
    }


def _likeliest(told: Mapping[str, Any]) -> dict[str, Any]:
    """The likeliest tokens of a place, likeliest first; of two that read alike (parts of characters), the likelier."""
    found: dict[str, Any] = {}
    for each in (*(told.get("top_logprobs") or ()), told):
        found.setdefault(str(each.get("token", "")), each.get("logprob"))
    return found


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

    def beside(self, choice: Mapping[str, Any], offset: int = 0) -> dict[str, Any]:
        """Return the fields of a choice that are not ours; `logprobs` in the form that they have in this format.

        Args:
            choice: the choice, or a part of it.
            offset: as in `of_texts`.
        """
        fields = theirs(choice, OWN_CHOICE)
        if not self.is_chat and "logprobs" in fields:
            fields["logprobs"] = of_texts(fields["logprobs"], offset)
        return fields

    def completion(
        self,
        answers: Sequence[Answer],
        requests: Sequence[InferenceRequest],
        request_id: str,
        *,
        echo: bool = False,
    ) -> dict[str, Any]:
        """Return a whole completion, with a choice for each answer; `model` and `neverblank` describe the first.

        Args:
            answers: the answers.
            requests: what was asked, in the same order; empty where the request was not read.
            request_id: the id of the call.
            echo: each text begins with what is `repeated` of its request.
        """
        counts = count_tokens(answers, requests)
        prompts = [repeated(request) for request in requests] if echo else [""] * len(answers)
        first, prompt = answers[0], prompts[0]
        choices = [self._choice(place, answer, prompts[place]) for place, answer in enumerate(answers)]
        if first.extras.others:
            choices += [self.further_choice(other, prompt=prompt) for other in first.extras.others]
        return {
            **theirs(first.extras.body, OWN_BODY),
            "id": f"{self.prefix}-{request_id}",
            "object": self.name,
            "created": int(time.time()),
            "model": first.model,
            "choices": choices,
            "usage": counts.usage,
            "neverblank": provenance(first, request_id, usage_estimated=counts.estimated),
        }

    def further_choice(self, other: Mapping[str, Any], key: str = "message", prompt: str = "") -> dict[str, Any]:
        """Return one of the choices behind the first.

        Args:
            other: the choice, as the model gave it.
            key: the field for the message of a chat.
            prompt: what the text begins with.
        """
        message: Mapping[str, Any] = other.get("message") or {}
        own = {"index": other.get("index"), "finish_reason": other.get("finish_reason") or "stop"}
        if self.is_chat:
            if prompt:
                message = {**message, "content": prompt + (message.get("content") or "")}
            return {"logprobs": None, **theirs(other, OWN_CHOICE), **own, key: dict(message)}
        fields = {"logprobs": None, **self.beside(other, len(prompt)), **theirs(message, OWN_MESSAGE)}
        return {**fields, **own, "text": prompt + (message.get("content") or "")}

    def _choice(self, place: int, answer: Answer, prompt: str) -> dict[str, Any]:
        own: dict[str, Any] = {"index": place, "finish_reason": finish_reason(answer)}
        extras = answer.extras
        written = "" if answer.served_by is Tier.LAST_RESORT else prompt
        if not self.is_chat:
            beside = self.beside(extras.choice, len(written))
            fields = {"logprobs": None, **beside, **theirs(extras.message, OWN_MESSAGE)}
            return {**fields, **own, "text": written + result_text(answer)}
        content = written or None if says_nothing_but_calls(answer) else written + result_text(answer)
        message = {**theirs(extras.message, OWN_MESSAGE), "role": "assistant", "content": content, "refusal": None}
        if answer.refusal:
            message |= {"content": None, "refusal": content}
        if answer.tool_calls:
            message["tool_calls"] = list(answer.tool_calls)
        return {"logprobs": None, **theirs(extras.choice, OWN_CHOICE), **own, "message": message}


CHAT = Format(True, "chatcmpl", "chat.completion", "chat.completion.chunk")
COMPLETION = Format(False, "cmpl", "text_completion", "text_completion")
