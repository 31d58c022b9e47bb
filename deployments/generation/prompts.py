"""From prompts to tokens: the chat template, the prefix of the answer and the model's context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2 import TemplateError

from deployments.generation import (
    Prompt,
    PromptTooLongError,
    Sampling,
    ShortestAnswerError,
    Tokenization,
    TokenQuery,
    UnknownTokenError,
    UnsupportedTurnsError,
)


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that leaves room for an answer.

    Attributes:
        tokens: the prompt.
        max_tokens: the longest answer that there is room for, at least 1.
        cut: how many of the oldest tokens were left out.
    """

    tokens: list[int]
    max_tokens: int
    cut: int = 0

    def bound(self, sampling: Sampling) -> Sampling:
        """`sampling` with no more tokens than there is room for.

        Raises:
            ShortestAnswerError: there is no room for the shortest answer.
        """
        if sampling.min_tokens > self.max_tokens:
            raise ShortestAnswerError(
                f"the answer is to have {sampling.min_tokens} tokens at least, and the context has room for "
                f"{self.max_tokens} behind the prompt"
            )
        return sampling if sampling.max_tokens == self.max_tokens else replace(sampling, max_tokens=self.max_tokens)


class PromptTokenizer:
    """Encodes prompts with the tokenizer of a transformers model.

    Attributes:
        context: the model's context, in tokens.
        source: the tokenizer of transformers.
        chat_template: as in `TextGenerator`.
    """

    def __init__(
        self,
        tokenizer: Any,
        context: int,
        *,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
    ) -> None:
        """Encode with `tokenizer`.

        Args:
            tokenizer: a tokenizer of transformers.
            context: the model's context, in tokens.
            chat: whether to apply the tokenizer's chat template; `auto` applies it if there is one.
            long_prompt: whether a prompt beyond the context is refused or loses its oldest tokens.

        Raises:
            ValueError: `chat` is `always`, and the tokenizer has no template.
        """
        template = _source(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not template:
            raise ValueError("chat: always is demanded, but the tokenizer has no chat template")
        self.context = context
        self.chat_template = "" if chat == "never" else template
        self.source = tokenizer
        self._tokenizer = tokenizer
        self._truncate = long_prompt == "truncate"

    def encode(self, prompt: Prompt, max_tokens: int) -> FittedPrompt:
        """The tokens of `prompt`, and the room that they leave for an answer of `max_tokens`.

        Raises:
            PromptTooLongError: they do not fit the context.
            UnsupportedTurnsError: the chat template does not take them.
        """
        return fit_to_context(self._encode(prompt), self.context, max_tokens, truncate=self._truncate)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def text_of(self, token: int) -> str:
        """The text of a token by itself, special or not."""
        return str(self._tokenizer.decode([token]))

    def tokenization(self, query: TokenQuery) -> Tokenization:
        """See `TextGenerator`; this blocks."""
        if known := require_known(query.tokens, len(self._tokenizer)):
            return Tokenization(self.context, known, str(self._tokenizer.decode(known)))
        tokens = self._encode(query.prompt, special=query.special, begins=query.begins)
        strings = self._tokenizer.convert_ids_to_tokens(tokens) if query.strings else ()
        return Tokenization(self.context, tokens, strings=tuple(map(str, strings)))

    def _encode(self, prompt: Prompt, *, special: bool | None = None, begins: bool = True) -> list[int]:
        """The tokens of the prompt and of the prefix, without the white space at the prefix's end.

        `special` as in `TokenQuery`; without it a chat gets none beside those of its template. `begins` likewise.
        A token usually holds a word and the space before it. A prompt that ends with a space would make the model
        continue with tokens it has rarely seen in that place.
        """
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if prompt.tokens:
            known = require_known(prompt.tokens, len(self._tokenizer))
            return known + (list(self._tokenizer(prefix, add_special_tokens=False)["input_ids"]) if prefix else [])
        if self.chat_template and not prompt.raw:
            turns = turns or [{"role": "user", "content": prompt.text}]
            begun = [{"role": "assistant", "content": prefix}] if prefix else []
            try:
                encoded = self._tokenizer.apply_chat_template(
                    turns + begun,
                    tools=[dict(tool) for tool in prompt.tools] or None,
                    add_generation_prompt=begins and not begun,
                    continue_final_message=bool(begun),
                    tokenize=not special,
                    return_dict=not special,
                )
            except (TemplateError, TypeError) as error:  # TypeError: it does something with a value of another type
                raise UnsupportedTurnsError(not_taken(error)) from error
            return list((self._tokenizer(encoded) if special else encoded)["input_ids"])
        text = prompt.as_text() + prefix
        return list(self._tokenizer(text, add_special_tokens=special is not False)["input_ids"])


def not_taken(error: Exception) -> str:
    """Say that a chat template has refused a prompt, in the template's own words."""
    return f"its chat template does not take this prompt: {' '.join(str(error).split())}"


def _source(template: Any) -> str:
    """The source of a tokenizer's chat template. Of several, transformers takes `tool_use` where there are tools."""
    if isinstance(template, Mapping):
        template = template.get("tool_use") or template.get("default")
    return str(template or "")


def entries_of(tokens: Sequence[int], vocabulary: Mapping[bytes, int]) -> tuple[str, ...]:
    """The entries of `tokens` in `vocabulary`; bytes that are half a character become replacement characters."""
    entries = {number: entry for entry, number in vocabulary.items()}
    return tuple(entries[token].decode(errors="replace") for token in tokens)


def split_text(text: str, size: int) -> list[str]:
    """`text` in pieces of at most `size` characters, which begin with a space where there is one to begin with."""
    pieces = []
    while len(text) > size:
        place = text.rfind(" ", 1, size)
        place = place if place > 0 else size
        pieces.append(text[:place])
        text = text[place:]
    return [*pieces, text]


def require_known(tokens: Sequence[int], vocabulary: int) -> list[int]:
    """`tokens`, which a caller has chosen, as a list.

    Raises:
        UnknownTokenError: one of them is not in the vocabulary.
    """
    if (largest := max(tokens, default=-1)) >= vocabulary:
        raise UnknownTokenError(f"the token {largest} is not one of the {vocabulary} of its vocabulary")
    return list(tokens)


def fit_to_context(tokens: Sequence[int], context: int, max_tokens: int, *, truncate: bool) -> FittedPrompt:
    """`tokens`, and the room that they leave. Of a prompt that is to be cut, the last tokens stay.

    Args:
        tokens: the prompt.
        context: the model's context, in tokens.
        max_tokens: the longest answer that is asked for; a prompt is cut for no more than half of the context.
        truncate: drop the oldest tokens of a prompt that leaves no room for an answer.

    Raises:
        PromptTooLongError: the prompt leaves no room, and `truncate` is not set.
    """
    room = context - len(tokens)
    if room > 0:
        return FittedPrompt(list(tokens), min(max_tokens, room))
    if not truncate:
        raise PromptTooLongError(
            f"the prompt has {len(tokens)} tokens, and the context of {context} has no room for an answer beside it"
        )
    kept = max(1, context - min(max_tokens, context // 2))
    return FittedPrompt(list(tokens[-kept:]), context - kept, len(tokens) - kept)
