"""What OpenAI's text completions have in a form of their own: bodies of requests, log probabilities, the echo."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec


def is_sent_as_text(request: InferenceRequest, spec: RemoteSpec) -> bool:
    """Return whether `request` is sent as the text completion that it is, and not as a chat."""
    return request.raw and spec.completions


def is_echoed(request: InferenceRequest) -> bool:
    """Return whether the answer to a text completion is to begin with its prompt, by the model's own doing."""
    return bool(request.passthrough.get("echo"))


def raw_prompt(request: InferenceRequest) -> str | list[int]:
    """Return the prompt of a text completion: the caller's, and behind it what has been written of the answer.

    An answer that begins with its prompt has the prompt in it already.
    """
    if request.prompt_tokens:
        return list(request.prompt_tokens)
    return request.prefix if request.prefix and is_echoed(request) else request.text + request.prefix


def text_fields(request: InferenceRequest) -> dict[str, Any]:
    """Return the fields that are only passed on, in the terms of text completions; a request has those of chats."""
    fields = dict(request.passthrough)
    if fields.pop("logprobs", False):
        fields["logprobs"] = fields.pop("top_logprobs", 0)
    if request.prefix:
        fields.pop("echo", None)
    return fields


def chat_logprobs(logprobs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the log probabilities of a text completion in the form that chats have; those of a chat as they are."""
    tokens = logprobs.get("tokens")
    if not isinstance(tokens, list):
        return logprobs
    values, tops = (_filled(logprobs.get(name), len(tokens)) for name in ("token_logprobs", "top_logprobs"))
    content = [
        {"token": token, "logprob": value, "bytes": None, "top_logprobs": _alternatives(top)}
        for token, value, top in zip(tokens, values, tops, strict=True)
    ]
    return {"content": content}


class EchoReader:
    """Reads the pieces of a text that is to begin with its prompt; the prompt is put before one that does not."""

    def __init__(self, prompt: str) -> None:
        """Wait for `prompt`; an empty one is there already."""
        self._prompt = prompt
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what of the text can be passed on, once `piece` has come."""
        if not self._prompt:
            return piece
        self._held += piece
        if self._prompt.startswith(self._held) and self._held != self._prompt:
            return ""
        return self.finish()

    def finish(self) -> str:
        """Return what was held back."""
        text, prompt = self._held, self._prompt
        self._held = self._prompt = ""
        return text if not text or text.startswith(prompt) else prompt + text


def _alternatives(top: Any) -> list[dict[str, Any]]:
    if not isinstance(top, Mapping):
        return []
    return [{"token": token, "logprob": value, "bytes": None} for token, value in top.items()]


def _filled(values: Any, length: int) -> Sequence[Any]:
    """Return `values` with just as many items."""
    known = values if isinstance(values, list) else []
    return [*known[:length], *[None] * (length - len(known))]
