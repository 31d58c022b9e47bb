"""Whole answers in OpenAI's Responses format. `response_writer` has the same for streams.

what became of the answer                            `status`
it is complete, also as a last resort or a refusal   completed
it was cut: its length, a deadline, a break          incomplete, `max_output_tokens`
a filter has withheld the rest                       incomplete, `content_filter`

A response repeats what was asked of it. Who has answered is in `model` and `neverblank`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from deployments.http.beside import THOUGHTS, counts_of, detail_of, provenance_and_extras, thoughts_of, written_text
from deployments.http.completions import finish_reason
from deployments.http.response_items import (
    call_item,
    has_annotations_only,
    logprobs_of,
    message_item,
    named_by_us,
    reasoning_item,
    refusal_part,
    text_part,
)
from deployments.http.written_output import items_of, written_of
from deployments.policy.answer import Answer
from deployments.request.openai_responses import ResponsesRequest

COMPLETED, INCOMPLETE = "completed", "incomplete"

TEXT_OF_ITEMS = {"message": "content", "output_text": "text", "refusal": "refusal"}
CALLS = frozenset({"function_call", "custom_tool_call"})
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""The fields of a request that its response repeats, with what stands there if they were not sent."""


class ResponseFrame:
    """The response to one request: what stands in it whoever answers.

    Attributes:
        key: what is in the ids of the response and of its items; no other response has it.
        asked: what was asked; `None` where it was not read.
    """

    def __init__(self, asked: ResponsesRequest | None) -> None:
        self.key = uuid4().hex
        self.asked = asked
        self._created = int(time.time())

    @property
    def wants_summary(self) -> bool:
        """Whether reasoning is told as a summary."""
        return self.asked is not None and self.asked.wants_summary

    def begun(self, model: str) -> dict[str, Any]:
        """Return the response while `model` writes it."""
        return self._fields("in_progress", model, [])

    def whole(self, answer: Answer, request_id: str) -> dict[str, Any]:
        """Return the response with a whole answer."""
        return self.ended(answer, request_id, self._output(answer), status_of_response(answer))

    def ended(
        self, answer: Answer, request_id: str, output: Sequence[Mapping[str, Any]], status: str, pieces: int = 1
    ) -> dict[str, Any]:
        """Return the response whose answer is in the items of `output`, where it was streamed in so many `pieces`."""
        counts = counts_of(answer, self.asked.request if self.asked is not None else None, pieces)
        fields = self._fields(status, answer.model, output)
        if status == COMPLETED:
            fields["completed_at"] = int(time.time())
        else:
            fields["incomplete_details"] = {"reason": _INCOMPLETE.get(finish_reason(answer), _INCOMPLETE["length"])}
        extras = answer.extras
        neverblank = provenance_and_extras(
            answer,
            request_id,
            usage_estimated=counts.estimated,
            placed=(*THOUGHTS, "annotations") if has_annotations_only(extras) else THOUGHTS,
            placed_of_choice=("logprobs",) if logprobs_of(extras) else (),
        )
        return {**fields, "usage": response_usage(counts.usage), "neverblank": neverblank}

    def _fields(self, status: str, model: str, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        sent: Mapping[str, Any] = self.asked.sent if self.asked is not None else {}
        repeated = {key: other if (value := sent.get(key)) is None else value for key, other in _REPEATED.items()}
        text = {key: value for key, value in repeated["text"].items() if value is not None}
        return {
            "id": f"resp_{self.key}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": output,
            "store": False,
            **repeated,
            "text": {**_REPEATED["text"], **text},
            "usage": None,
        }

    def _output(self, answer: Answer) -> list[dict[str, Any]]:
        if written := written_of(answer, TEXT_OF_ITEMS, CALLS):
            return [named_by_us(item, self.key, number) for number, item in enumerate(written)]
        items = [item for stage, item in items_of(answer.extras) if stage == "done"]
        output = [named_by_us(item, self.key, number) for number, item in enumerate(items)]
        reasons = any(item.get("type") == "reasoning" for item in items)
        if not reasons and (thoughts := thoughts_of(answer.extras.message)):
            output.append(reasoning_item(self.key, thoughts, summary=self.wants_summary))
        if text := written_text(answer):
            part = refusal_part(text) if answer.refusal else text_part(text, answer.extras)
            output.append(message_item(self.key, 0, part, status_of_response(answer)))
        output += [call_item(self.key, number, call)[0] for number, call in enumerate(answer.tool_calls)]
        return output


def status_of_response(answer: Answer) -> str:
    """Return whether the response with an answer is complete, as its status."""
    return INCOMPLETE if finish_reason(answer) in _INCOMPLETE else COMPLETED


def response_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `usage` object of a chat in the words of Responses."""
    read, written = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": min(read, detail_of(usage, "prompt_tokens_details", "cached_tokens")),
            "cache_write_tokens": min(read, detail_of(usage, "prompt_tokens_details", "cache_write_tokens")),
        },
        "output_tokens": written,
        "output_tokens_details": {
            "reasoning_tokens": min(written, detail_of(usage, "completion_tokens_details", "reasoning_tokens"))
        },
        "total_tokens": read + written,
    }
