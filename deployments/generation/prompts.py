"""From prompts to tokens: the chat template, the prefix of the answer and the model's context."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jinja2 import TemplateError

from deployments.generation import Prompt, PromptTooLongError, UnsupportedTurnsError


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

    def encode(self, prompt: Prompt, max_tokens: int) -> list[int]:
        """The tokens of `prompt`, short enough for an answer of `max_tokens`.

        Raises:
            PromptTooLongError: they do not fit the context.
            UnsupportedTurnsError: the chat template does not take them.
        """
        return fit_to_context(self._encode(prompt), self.context, max_tokens, truncate=self._truncate)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _encode(self, prompt: Prompt) -> list[int]:
        """The tokens of the prompt and of the prefix, without the white space at the prefix's end.

        A token usually holds a word and the space before it. A prompt that ends with a space would make the model
        continue with tokens it has rarely seen in that place.
        """
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if self.chat_template:
            turns = turns or [{"role": "user", "content": prompt.text}]
            begun = [{"role": "assistant", "content": prefix}] if prefix else []
            try:
                encoded = self._tokenizer.apply_chat_template(
                    turns + begun,
                    tools=[dict(tool) for tool in prompt.tools] or None,
                    add_generation_prompt=not begun,
                    continue_final_message=bool(begun),
                    return_dict=True,
                )
            except (TemplateError, TypeError) as error:  # TypeError: it does something with a value of another type
                raise UnsupportedTurnsError(not_taken(error)) from error
            return list(encoded["input_ids"])
        return list(self._tokenizer(prompt.as_text() + prefix)["input_ids"])


def not_taken(error: Exception) -> str:
    """Say that a chat template has refused a prompt, in the template's own words."""
    return f"its chat template does not take this prompt: {' '.join(str(error).split())}"


def _source(template: Any) -> str:
    """The source of a tokenizer's chat template. Of several, transformers takes `tool_use` where there are tools."""
    if isinstance(template, Mapping):
        template = template.get("tool_use") or template.get("default")
    return str(template or "")


def fit_to_context(tokens: Sequence[int], context: int, max_tokens: int, *, truncate: bool) -> list[int]:
    """`tokens`, or as many of the last ones as leave room for the answer.

    Args:
        tokens: the prompt.
        context: the model's context, in tokens.
        max_tokens: the answer's length.
        truncate: drop the oldest tokens of a prompt that is too long.

    Raises:
        PromptTooLongError: the prompt is too long, and `truncate` is not set or leaves no token of it.
    """
    room = context - max_tokens
    if len(tokens) <= room:
        return list(tokens)
    if not truncate or room <= 0:
        raise PromptTooLongError(
            f"the prompt has {len(tokens)} tokens, and the context of {context} leaves {room} "
            f"beside {max_tokens} for the answer"
        )
    return list(tokens[-room:])
