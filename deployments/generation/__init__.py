"""Text generation: engines that continue a prompt with a language model, all behind the protocol `TextGenerator`.

May import: observability.

    openvino.py       for CPUs: OpenVINO GenAI's continuous batching (driven by batch.py) in a process (process.py)
    continuous.py     for GPUs, and for CPUs without OpenVINO: transformers' continuous batching
    transformers.py   transformers' `generate`, one thread for each request: for what cannot be in the batch
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.generation.grammar import Grammar


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text that a model continues.

    Attributes:
        text: plain text, used if there are no `messages`.
        messages: chat turns with `role` and `content`, and whatever else the model's chat template reads of a turn.
        prefix: the part of the answer that has already been written; the model continues it character for character.
        tools: functions, in OpenAI's form, that the chat template shows to the model. Only for a template that does.
    """

    text: str
    messages: Sequence[Mapping[str, Any]] = ()
    prefix: str = ""
    tools: Sequence[Mapping[str, Any]] = ()

    def as_text(self) -> str:
        """The prompt for a model without a chat template; the prefix has to be appended."""
        if not self.messages:
            return self.text
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.messages) + "\nassistant:"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings of one generation; the parameters are those of OpenAI's API.

    Attributes:
        max_tokens: the most tokens to write, 1 or more.
        temperature: the logits are divided by it; 0 always takes the likeliest token.
        budget_s: seconds after which generation ends with the text written so far.
        top_p: sample from the smallest set of likeliest tokens that has this much probability.
        stop: texts that end the generation; the answer does not contain them.
        seed: the same seed, prompt and sampling give the same text; `None` draws a seed.
        presence_penalty: subtracted from the logit of every token that has been written.
        frequency_penalty: subtracted from the logit of a token once for each time it has been written.
        logit_bias: token id to the value that is added to its logit.
        grammar: what the text is held to; `None` leaves it free.
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
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """A complete generation.

    Attributes:
        text: what was written; it may be blank.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        finish_reason: `stop`, `length` (`max_tokens` reached) or `deadline` (`budget_s` used up).
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


class CannotLoadError(Exception):
    """The engine cannot load the weights; another engine may."""


class CannotGenerateError(Exception):
    """The engine does not accept the request, or not now; another replica or model may."""


class PromptTooLongError(CannotGenerateError):
    """The prompt does not fit the model's context."""


class UnsupportedTurnsError(CannotGenerateError):
    """The model's chat template does not take the turns or the tools of the prompt."""


class BatchFullError(CannotGenerateError):
    """The engine has as many requests under way as it has room for."""


class UnsupportedSamplingError(CannotGenerateError):
    """The engine does not support a sampling parameter of the request."""


class IncompleteGenerationError(Exception):
    """The engine ended a generation before its end, for example for lack of memory. What it wrote is no answer."""


class TextGenerator(Protocol):
    """A loaded language model."""

    @property
    def chat_template(self) -> str:
        """The source (Jinja) of the chat template that prompts are put through; empty where none is."""
        ...

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Continue `prompt` and return the complete generation.

        Never blocks the event loop. Cancelling it stops the work: within a part of a layer in `transformers.py`, after
        the current step of the batch elsewhere.

        Raises:
            CannotGenerateError: the prompt is too long, the engine is full, or it does not support the sampling.
            IncompleteGenerationError: the engine ended the generation before its end.
        """
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """Continue `prompt` and yield the text as it is written, then the complete `Generation`.

        The texts (some may be empty) add up to the `text` of the `Generation`. Closing the stream stops the work, as
        cancelling `generate` does. Raises what `generate` raises.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`: engine, device, dtype."""
        ...

    def stalled_s(self) -> float:
        """Seconds for which generations have been under way and none has advanced: see `progress`."""
        ...


async def read_to_end(stream: AsyncGenerator[str | Generation, None]) -> Generation:
    """Read a generator's stream and return its last item, the complete generation. Raises what the stream raises."""
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, Generation):
                return item
    raise AssertionError("a stream ends with a Generation")
