"""Text generation engines, behind one protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is generated from: a plain text, or chat turns of `role` and `content` where there are any."""

    text: str
    messages: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate.

    Attributes:
        max_tokens: at most so many, 1 or more.
        temperature: 0 always takes the likeliest token.
        budget_s: seconds after which generation ends with what there is.
    """

    max_tokens: int
    temperature: float
    budget_s: float


@dataclass(frozen=True, slots=True)
class Generation:
    """What was generated.

    Attributes:
        text: may be blank; the caller judges it.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        finish_reason: `stop`, `length` (`max_tokens` reached) or `deadline` (`budget_s` over).
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


class PromptTooLongError(ValueError):
    """The prompt does not fit the model's context."""


class TextGenerator(Protocol):
    """One loaded language model."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Continue `prompt`. Never blocks the event loop; cancelling it stops the work within a part of a layer.

        Raises:
            PromptTooLongError: it does not fit the context, and is not to be truncated.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`: engine, device, dtype."""
        ...
