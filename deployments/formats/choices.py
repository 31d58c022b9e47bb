"""The choices that a language model writes for one request (`n`), and what is told beside their texts."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator, TokenLogprob
from deployments.policy.extras import NO_EXTRAS, Extras
from deployments.policy.outcome import Finished, Usage
from deployments.request.sampling import MAX_SEED

Read = Callable[[str], tuple[str, Sequence[Mapping[str, Any]]]]
"""Returns the text and the tool calls in what was written."""

MOST_WRITTEN = 16
"""The most choices of one request: each takes a place in the batch."""


async def write(
    generator: TextGenerator, prompt: Prompt, sampling: Sampling, choices: int
) -> AsyncGenerator[str | Sequence[Generation], None]:
    """Yield the text of the first choice as it is written, then all choices.

    The others are begun once the first has some text: an engine that keeps the keys and values of prompts has read the
    prompt by then. Raises what the generator raises; closing this stops all choices.
    """
    others: list[asyncio.Task[Generation]] = []
    try:
        async with aclosing(generator.stream(prompt, sampling)) as items:
            async for item in items:
                if not others:
                    others = [
                        asyncio.ensure_future(generator.generate(prompt, _sampling_of(place, sampling)))
                        for place in range(1, choices)
                    ]
                if isinstance(item, Generation):
                    yield [item, *await asyncio.gather(*others)]
                else:
                    yield item
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def write_all(generator: TextGenerator, prompt: Prompt, sampling: Sampling, choices: int) -> Sequence[Generation]:
    """Return all choices. Raises what the generator raises."""
    if choices == 1:
        return [await generator.generate(prompt, sampling)]
    async with aclosing(write(generator, prompt, sampling, choices)) as items:
        async for item in items:
            if not isinstance(item, str):
                return item
    raise CannotGenerateError("its engine gave no end")


def finish(written: Sequence[Generation], read: Read) -> Finished:
    """Return the end of an answer of which `written` are the choices; `read` reads those behind the first."""
    first = written[0]
    usage = Usage(first.prompt_tokens, sum(generation.completion_tokens for generation in written))
    others = tuple(_further(place, generation, read) for place, generation in enumerate(written) if place)
    choice = _logprobs(first)
    extras = Extras(choice=choice, others=others) if choice or others else NO_EXTRAS
    dropped = (f"prompt_tokens:{first.cut_tokens}",) if first.cut_tokens else ()
    return Finished(first.finish_reason, usage, extras=extras, dropped=dropped)


def _sampling_of(place: int, sampling: Sampling) -> Sampling:
    """The sampling of the choice at `place`, which draws by a seed of its own."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + place) % MAX_SEED)


def _further(place: int, generation: Generation, read: Read) -> Mapping[str, Any]:
    """A choice behind the first, in OpenAI's form."""
    reason = "stop" if generation.finish_reason == "stop" else "length"
    text, calls = read(generation.text)
    message: dict[str, Any] = {"role": "assistant", "content": text.strip(), "refusal": None}
    if calls:
        message |= {"content": text.strip() or None, "tool_calls": list(calls)}
        reason = "tool_calls"
    return {"index": place, "message": message, "finish_reason": reason, **_logprobs(generation)}


def _logprobs(generation: Generation) -> dict[str, Any]:
    """The log probabilities of a choice, in OpenAI's form, as a field of the choice; empty where there are none."""
    if not generation.logprobs:
        return {}
    return {"logprobs": {"content": [_to_json(each) for each in generation.logprobs], "refusal": None}}


def _to_json(told: TokenLogprob) -> dict[str, Any]:
    top = [_entry(token, logprob) for token, logprob in told.top]
    return {**_entry(told.token, told.logprob), "top_logprobs": top}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": max(logprob, _LEAST), "bytes": list(token.encode("utf-8", "replace"))}


_LEAST = -9999.0
"""In the place of the logarithm of 0, which JSON does not have: what OpenAI tells of a token that is most unlikely."""
