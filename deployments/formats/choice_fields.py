"""What is told beside the text of an answer, in OpenAI's form: further choices, log probabilities, what is missing."""

from collections.abc import Mapping
from typing import Any

from deployments.formats.choices import Choice, Choices
from deployments.generation import Generation, TokenLogprob
from deployments.policy.extras import NO_EXTRAS, Extras
from deployments.policy.outcome import Answered, Finished, Usage


def finish(written: Choices, max_tokens: int | None) -> Finished:
    """Return the end of an answer of which `written` are the choices; the caller asked for `max_tokens`, or for none.

    `dropped` tells how many tokens of the prompt were left out, how many choices are missing, and how long the answer
    may be at most where that ended it before the caller's `max_tokens`.
    """
    first = written.first
    wrote = first.completion_tokens + sum(choice.generation.completion_tokens for choice in written.others)
    others = tuple(_further(place, choice) for place, choice in enumerate(written.others, 1))
    choice = _beside(first)
    extras = Extras(choice=choice, others=others) if choice or others else NO_EXTRAS
    is_cut = first.finish_reason == "length" and max_tokens is not None and first.completion_tokens < max_tokens
    missing = {
        "prompt_tokens": first.cut_tokens,
        "n": written.missing,
        "max_tokens": first.completion_tokens if is_cut else 0,
    }
    dropped = tuple(f"{name}:{count}" for name, count in missing.items() if count)
    return Finished(first.finish_reason, Usage(first.prompt_tokens, wrote), extras=extras, dropped=dropped)


def _further(place: int, choice: Choice) -> Mapping[str, Any]:
    """A choice behind the first."""
    assert isinstance(choice.outcome, Answered)  # noqa: S101 - no other one is kept
    calls = choice.outcome.tool_calls
    text = choice.outcome.result if isinstance(choice.outcome.result, str) else None
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    reason = "stop" if choice.generation.finish_reason == "stop" else "length"
    if calls:
        message, reason = {**message, "tool_calls": list(calls)}, "tool_calls"
    return {"index": place, "message": message, "finish_reason": reason, **_beside(choice.generation)}


def _beside(generation: Generation) -> dict[str, Any]:
    """The fields of a choice beside its message; the stop text that ended it has the name that vLLM gives it."""
    return {**_logprobs(generation), **({"stop_reason": generation.stopped_at} if generation.stopped_at else {})}


def _logprobs(generation: Generation) -> dict[str, Any]:
    """The log probabilities of a choice, as a field of the choice; empty where there are none."""
    if not generation.logprobs:
        return {}
    return {"logprobs": {"content": [_to_json(each) for each in generation.logprobs], "refusal": None}}


def _to_json(told: TokenLogprob) -> dict[str, Any]:
    top = [_entry(token, logprob) for token, logprob in told.top]
    return {**_entry(told.token, told.logprob), "top_logprobs": top}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    # A token that is a part of a character has no text, and its bytes are not known.
    known = None if _PART in token else list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": max(logprob, _LEAST), "bytes": known}


_PART = "\N{REPLACEMENT CHARACTER}"
_LEAST = -9999.0
"""In the place of the logarithm of 0, which JSON does not have: what OpenAI tells of a token that is most unlikely."""
