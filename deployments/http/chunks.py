"""Answers in OpenAI's two formats, as the chunks of a stream."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from deployments.http.completions import (
    OWN_BODY,
    OWN_MESSAGE,
    Format,
    finish_reason,
    provenance,
    theirs,
)
from deployments.http.counts import count_tokens
from deployments.http.responses import event
from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.request import InferenceRequest
from deployments.request.openai import repeated
from deployments.request.prompt_estimate import estimate_prompt_tokens

_IN_EACH = ("system_fingerprint", "service_tier")
"""The fields beside the choices that providers repeat in each chunk; all others are sent once."""

_PLACE = uuid4().hex
"""The place of the text in the frame of an event; nobody who makes texts or names knows it."""


class Chunks:
    """Makes the chunks of one completion; each names the model that wrote it.

    Attributes:
        begun: the chunk that begins it has been made.
    """

    def __init__(
        self,
        form: Format,
        requests: Sequence[InferenceRequest],
        request_id: str,
        *,
        with_usage: bool,
        in_each: bool = False,
        echo: bool = False,
        index: int = 0,
    ) -> None:
        """Begin a completion.

        Args:
            form: its format.
            requests: the request; empty where it was not read.
            request_id: the id of the call.
            with_usage: the stream ends with a chunk of token counts.
            in_each: every chunk has those so far, too: of the pieces, and an estimate of what was read.
            echo: the text begins with what is `repeated` of the request.
            index: the place of the choice.
        """
        self.begun = False
        self._repeated = repeated(requests[0]) if echo and requests else ""
        self._told_to = len(self._repeated)  # the character that log probabilities go to
        self._index = index
        self._form = form
        self._requests = requests
        self._request_id = request_id
        self._with_usage = with_usage
        self._read = estimate_prompt_tokens(requests[0]) if in_each and requests else 0
        self._in_each_chunk = in_each
        self._id = f"{form.prefix}-{request_id}"
        self._created = int(time.time())
        self._pieces = 0
        self._model = ""
        self._in_each: dict[str, Any] = {}
        self._once: dict[str, Any] = {}
        self._framed: tuple[str, bool] | None = None
        self._before, self._behind = b"", b""

    def first(self, model: str, *, echo: bool = True) -> Iterator[dict[str, Any]]:
        """Give the chunk that names the role of a chat, then that of what is to be repeated.

        Args:
            model: the model that begins the answer.
            echo: the answer continues what is repeated, as the last resort does not.
        """
        self.begun = True
        if self._form.is_chat:
            yield self._chunk(model, {"role": "assistant", "content": "", "refusal": None}, "")
        if self._repeated and echo:
            yield self._chunk(model, {"content": self._repeated}, self._repeated)

    def text(self, text: str, model: str, *, refusal: bool = False) -> bytes:
        """Return the event with the chunk of a piece of the answer; with `refusal`, of the text of a refusal.

        What such chunks have around their texts is the same until something comes beside them, and is written once.
        """
        self._pieces += 1
        if self._framed != (model, refusal):
            field = "refusal" if refusal else "content"
            if self._once or self._in_each_chunk:
                return event(self._chunk(model, {field: text}, text))
            self._framed = model, refusal
            self._before, self._behind = event(self._chunk(model, {field: _PLACE}, _PLACE)).split(orjson.dumps(_PLACE))
        return self._before + orjson.dumps(text) + self._behind

    def beside(self, extras: Extras, model: str) -> Iterator[dict[str, Any]]:
        """Give the chunks of what came beside the text. Fields beside the choices go into the chunk that comes next.

        A further choice comes whole, and gets a chunk of its own.
        """
        self._note_body(extras, model)
        message, choice = theirs(extras.message, OWN_MESSAGE), self._form.beside(extras.choice, self._told_to)
        if (logprobs := choice.get("logprobs")) and not self._form.is_chat:
            self._told_to += sum(map(len, logprobs["tokens"]))
        if message or choice:
            chunk = self._chunk(model, message, "")
            chunk["choices"][0] |= choice if self._form.is_chat else {**message, **choice}
            yield chunk
        for other in extras.others:
            whole = {**other, "message": _with_indices(other.get("message") or {})}
            choice = self._form.further_choice(whole, "delta", self._repeated)
            yield {**self._chunk(model, {}, ""), "choices": [choice]}

    @property
    def has_text(self) -> bool:
        """Whether a piece of the answer has been told."""
        return self._pieces > 0

    def end(self, answer: Answer, *, cut: bool = False) -> Iterator[dict[str, Any]]:
        """Give the tool calls and the finish reason; `cut` as in `finish_reason`."""
        if answer.tool_calls and self._form.is_chat:
            calls = [{"index": place, **call} for place, call in enumerate(answer.tool_calls)]
            yield self._chunk(answer.model, {"tool_calls": calls}, "")
        counts = count_tokens([answer], self._requests, max(1, self._pieces))
        estimated = self._with_usage and counts.estimated
        end = self._chunk(answer.model, {}, "", finish_reason(answer, cut=cut))
        if self._in_each_chunk:
            end["usage"] = counts.usage
        yield {**end, "neverblank": provenance(answer, self._request_id, usage_estimated=estimated)}

    def usage(self, answers: Sequence[Answer], requests: Sequence[InferenceRequest]) -> Iterator[dict[str, Any]]:
        """Give the chunk with the token counts of all `answers` to `requests`, if the request asked for it."""
        if self._with_usage:
            counts = count_tokens(answers, requests, max(1, self._pieces))
            yield {**self._chunk(answers[0].model, {}, ""), "choices": [], "usage": counts.usage}

    def _note_body(self, extras: Extras, model: str) -> None:
        if model != self._model:
            self._model, self._in_each = model, {}
        for key, value in theirs(extras.body, OWN_BODY).items():
            (self._in_each if key in _IN_EACH else self._once)[key] = value
            self._framed = None

    def _chunk(self, model: str, delta: dict[str, Any], text: str, reason: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": self._index, "finish_reason": reason, "logprobs": None}
        chunk = {
            "id": self._id,
            "object": self._form.chunk_name,
            "created": self._created,
            "model": model,
            "choices": [{**choice, "delta": delta} if self._form.is_chat else {**choice, "text": text}],
        }
        if self._once or (self._in_each and model == self._model):
            chunk = {**self._once, **self._in_each, **chunk}
            self._once = {}
        if self._in_each_chunk:
            return {**chunk, "usage": Usage(self._read, self._pieces).to_json()}
        return {**chunk, "usage": None} if self._with_usage else chunk


def _with_indices(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole message as a delta, in which tool calls have indices."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    return {**message, "tool_calls": [{"index": place, **call} for place, call in enumerate(calls)]}
