"""Text generation engines, behind one protocol."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is generated from.

    Attributes:
        text: a plain text, where there are no `messages`.
        messages: chat turns of `role` and `content`.
        prefix: the beginning of the answer, which is there already: generation carries on behind it, character
            for character.
    """

    text: str
    messages: Sequence[Mapping[str, str]] = ()
    prefix: str = ""

    def as_text(self) -> str:
        """The prompt for a model without a chat template; the answer's prefix goes behind it."""
        return self.text or "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.messages) + "\nassistant:"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate.

    Attributes:
        max_tokens: at most so many, 1 or more.
        temperature: 0 always takes the likeliest token.
        budget_s: seconds after which generation ends with what there is.
        top_p: the smallest set of likeliest tokens with this much probability is sampled from.
        stop: texts that end the generation and are not part of it.
        seed: the same seed, prompt and sampling give the same text; `None` draws one.
        presence_penalty: off the logits of every token written so far.
        frequency_penalty: off the logits of every token for each time it was written.
        logit_bias: token id to what is added to its logit.
    """

    max_tokens: int
    temperature: float
    budget_s: float
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)


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


class CannotLoadError(Exception):
    """An engine cannot make a model of the weights; another one may."""


class CannotGenerateError(Exception):
    """A request that this engine does not take, or not now; another one may."""


class PromptTooLongError(CannotGenerateError):
    """The prompt does not fit the model's context."""


class BatchFullError(CannotGenerateError):
    """As many requests are under way as there is room for."""


class UnsupportedSamplingError(CannotGenerateError):
    """The engine cannot sample in the way that is wanted."""


class TextGenerator(Protocol):
    """One loaded language model."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Continue `prompt`. Never blocks the event loop; cancelling it stops the work within a part of a layer.

        Raises:
            CannotGenerateError: it does not fit the context and is not to be truncated, there is no room for it, or
                it wants what this engine cannot do.
        """
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """Continue `prompt` piece by piece.

        The pieces are texts, some perhaps empty, and together the `text` of the `Generation` that comes last.
        Closing the iterator stops the work as cancelling `generate` does; a reader that does not read stops it
        for as long. Raises as `generate` does.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`: engine, device, dtype."""
        ...
