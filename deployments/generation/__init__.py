"""Text generation: engines that continue a prompt with a language model, all behind the protocol `TextGenerator`.

May import: observability.

    openvino.py       for CPUs: OpenVINO GenAI's continuous batching (batch.py, sequence.py) in a process (process.py)
    continuous.py     for GPUs, and for CPUs without OpenVINO: transformers' continuous batching
    transformers.py   transformers' `generate`, one thread for each request: for what cannot be in the batch
    grammar.py        what a text is held to: by xgrammar (openvino_grammar.py), by llguidance (grammar_matcher.py)
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
        raw: `text` is continued as it stands: no chat template is applied.
        tokens: the prompt as token ids, in the place of `text`; always raw.
        tools: functions, in OpenAI's form, that the chat template shows to the model. Only for a template that does.
    """

    text: str
    messages: Sequence[Mapping[str, Any]] = ()
    prefix: str = ""
    raw: bool = False
    tokens: Sequence[int] = ()
    tools: Sequence[Mapping[str, Any]] = ()

    @property
    def goes_on(self) -> bool:
        """Whether the answer continues a text: white space at its beginning is a part of it."""
        return bool(self.prefix) or self.raw

    def as_text(self) -> str:
        """The prompt for a model without a chat template; the prefix has to be appended."""
        if not self.messages:
            return self.text
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.messages) + "\nassistant:"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings of one generation; the parameters are those of `request.sampling`, under the same names.

    Attributes:
        max_tokens: the most tokens to write, 1 or more; fewer are written where the context has no room for them.
        temperature: the logits are divided by it; 0 always takes the likeliest token.
        budget_s: seconds after which generation ends with the text written so far.
        top_p: sample from the smallest set of likeliest tokens that has this much probability.
        stop: texts that end the generation; the answer does not contain them.
        seed: the same seed, prompt and sampling give the same text, as far as the engine computes
            the same; `None` draws a seed.
        presence_penalty: subtracted from the logit of every token that has been written.
        frequency_penalty: subtracted from the logit of a token once for each time it has been written.
        logit_bias: token id to the value that is added to its logit.
        grammar: what the text is held to; `None` leaves it free.
        top_k: sample from this many of the likeliest tokens; 0 for all.
        min_p: leave out tokens that have less than this share of the likeliest one's probability.
        repetition_penalty: divides positive logits of tokens that were read or written, and multiplies negative ones.
        min_tokens: the end token is not written before this many tokens.
        ignore_eos: the end token does not end the generation.
        stop_token_ids: tokens that end the generation, as the end token does.
        logprobs: tell the log probability of each token, and of this many of the likeliest ones; `None` for none.
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
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The log probability of a token that was written.

    Attributes:
        token: the token's text; half a character is a replacement character.
        logprob: the natural logarithm of its probability, before sampling.
        top: the likeliest tokens of its place, likeliest first, with their log probabilities.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """A complete generation.

    Attributes:
        text: what was written; it may be blank.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        finish_reason: `stop`, `length` (`max_tokens` reached) or `deadline` (`budget_s` used up).
        cut_tokens: the prompt's oldest tokens, so many, were left out, as the context had no room for them.
        logprobs: those of the tokens that were written, where they were asked for.
        stopped_at: the stop text that ended it; empty where none did.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    cut_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    stopped_at: str = ""


@dataclass(frozen=True, slots=True)
class TokenQuery:
    """What a caller asks of a model's tokenizer: the tokens of a prompt, or the text of tokens.

    Attributes:
        prompt: the prompt, as it would be continued.
        tokens: these are to be turned into text, special ones included; the prompt does not count then.
        special: the tokenizer adds its special tokens, beside those that a chat template writes.
        begins: a chat ends with the beginning of an answer's turn.
        strings: the entry of each token in the vocabulary is to be told, too.
    """

    prompt: Prompt
    tokens: Sequence[int] = ()
    special: bool = True
    begins: bool = True
    strings: bool = False


@dataclass(frozen=True, slots=True)
class Tokenization:
    """The answer to a `TokenQuery`.

    Attributes:
        context: the model's context, in tokens.
        tokens: the tokens, however many.
        text: their text, where it was asked for.
        strings: their entries in the vocabulary, where they were asked for.
    """

    context: int
    tokens: Sequence[int]
    text: str = ""
    strings: tuple[str, ...] = ()


class CannotLoadError(Exception):
    """The engine cannot load the weights; another engine may."""


class CannotGenerateError(Exception):
    """The engine does not accept the request, or not now; another replica or model may."""


class PromptTooLongError(CannotGenerateError):
    """The prompt does not fit the model's context."""


class UnknownTokenError(CannotGenerateError):
    """The prompt has a token that is not in the model's vocabulary."""


class UnsupportedTurnsError(CannotGenerateError):
    """The model's chat template does not take the turns or the tools of the prompt."""


class BatchFullError(CannotGenerateError):
    """The engine has as many requests under way as it has room for."""


class BrokenEngineError(CannotGenerateError):
    """The engine is of no use any more: it has to be loaded anew."""

    def __init__(self, reason: str = "its engine is broken, and is being started again") -> None:
        """Say so."""
        super().__init__(reason)


class ShortestAnswerError(CannotGenerateError):
    """The answer that is asked for cannot be as long as it has to be at least (`min_tokens`)."""


class UnsupportedSamplingError(CannotGenerateError):
    """The engine does not support a sampling parameter of the request.

    Attributes:
        parameter: its name.
    """

    def __init__(self, parameter: str) -> None:
        """Name the parameter; another engine may support it."""
        super().__init__(parameter)
        self.parameter = parameter

    def __str__(self) -> str:
        """The parameter, as a sentence about the engine."""
        return f"its engine does not support {self.parameter}"


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
            GrammarError: it cannot hold the text to the grammar; nothing has been written.
            IncompleteGenerationError: the engine ended the generation before its end.
        """
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """Continue `prompt` and yield the text as it is written, then the complete `Generation`.

        The texts (some may be empty) add up to the `text` of the `Generation`. Closing the stream stops the work, as
        cancelling `generate` does. Raises what `generate` raises.
        """
        ...

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        """Answer `query`; nothing is generated. Never blocks the event loop for long.

        Raises:
            CannotGenerateError: the chat template does not take the turns, a token is not known, or there is no engine.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`: engine, device, dtype."""
        ...

    def stalled_s(self) -> float:
        """Seconds for which generations have been under way and none has advanced: see `progress`.

        Infinite once the engine is of no use any more.
        """
        ...


async def read_to_end(stream: AsyncGenerator[str | Generation, None]) -> Generation:
    """Read a generator's stream and return its last item, the complete generation. Raises what the stream raises."""
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, Generation):
                return item
    raise AssertionError("a stream ends with a Generation")
