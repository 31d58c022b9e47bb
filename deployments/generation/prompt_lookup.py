"""Prompt lookup: a text that repeats what was read or written before is written several tokens a step.

What followed the last few tokens where they stood before is guessed to follow again. One step checks all guesses of a
request, and keeps those that it would have written anyway: the text is the same. Source: A. Saxena, prompt lookup
decoding (https://github.com/apoorvumang/prompt-lookup-decoding).

OpenVINO GenAI 2026.4.1 has it for the requests of a batch, with faults that must not reach a request (decision 31):

    guesses that a step has no room for            become text, or fail the batch: every step has room for all of them,
                                                   and a request that the cache may have no room for is refused
    `min_new_tokens`                               is compared with the tokens of the prompt and the answer together
    a request that is cancelled or given up        gives its unchecked guesses out: nothing is read of it any more
    keys and values of 8 bits                      are not the same read one by one and together: the cache has 16 bits
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.generation import Sampling


@dataclass(frozen=True, slots=True)
class PromptLookup:
    """How many tokens are guessed, and by how many before them.

    Attributes:
        tokens: guesses in a step; 0 for no prompt lookup. Every step computes as many more for each request.
        ngram: the most tokens before a guess that must have stood before; one is enough if more have not.
    """

    tokens: int
    ngram: int = 3

    def properties(self) -> dict[str, Any]:
        """What OpenVINO's pipeline has to be told."""
        return {"prompt_lookup": True, "KV_CACHE_PRECISION": "f16"} if self.tokens else {}

    def most_batched(self, prompt_tokens: int, capacity: int) -> int:
        """The tokens of one step: what `capacity` requests write, and so many tokens of prompts beside it."""
        return prompt_tokens + capacity * (1 + self.tokens) if self.tokens else max(prompt_tokens, capacity)

    def configure(self, config: Any, sampling: Sampling, prompt_tokens: int) -> None:
        """Set in OpenVINO's `config` of a request what prompt lookup needs."""
        if not self.tokens:
            return
        config.max_ngram_size = self.ngram
        config.num_assistant_tokens = self.tokens
        if sampling.min_tokens:
            config.num_assistant_tokens = 1  # the end token is held back for all guesses of a step, or for none
            config.min_new_tokens = prompt_tokens + sampling.min_tokens - 1
            config.max_new_tokens = max(sampling.max_tokens, config.min_new_tokens)  # the batch ends it at its own


NO_LOOKUP = PromptLookup(0)


class CacheRoom:
    """The tokens that the cache of keys and values has room for, and the requests that may yet take them."""

    def __init__(self, tokens: int) -> None:
        """Start empty, with room for so many `tokens`."""
        self._tokens = tokens
        self._held: list[tuple[int, Callable[[], bool]]] = []

    def has(self, tokens: int) -> bool:
        """Whether there is room for so many more."""
        return sum(held for held, _ in self._held) + tokens <= self._tokens

    def hold(self, tokens: int, is_over: Callable[[], bool]) -> None:
        """Hold so many for a request, until a step has passed at whose end the request `is_over`."""
        self._held.append((tokens, is_over))

    def after_step(self) -> None:
        """Let go of what is over: the step has given it back."""
        self._held = [each for each in self._held if not each[1]()]
