"""A prompt as the tokens of a transformers tokenizer, and back."""

from collections.abc import Sequence
from typing import Any, Literal

from deployments.generation import Prompt
from deployments.generation.prompts import fit


class Tokens:
    """Reads prompts for one model.

    Attributes:
        context: tokens the model was made for.
    """

    def __init__(
        self,
        tokenizer: Any,
        context: int,
        *,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
    ) -> None:
        """Read with `tokenizer`; for the others see `TransformersGenerator`.

        Raises:
            ValueError: `chat` is `always`, and the tokenizer has no template.
        """
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not has_template:
            raise ValueError("chat: always is demanded, but the tokenizer has no chat template")
        self.context = context
        self._tokenizer = tokenizer
        self._chat = has_template and chat != "never"
        self._truncate = long_prompt == "truncate"

    def read(self, prompt: Prompt, max_tokens: int) -> list[int]:
        """The tokens of `prompt`, with room for `max_tokens` behind them.

        Raises:
            PromptTooLongError: there is none.
        """
        return fit(self._encode(prompt), self.context, max_tokens, truncate=self._truncate)

    def text(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _encode(self, prompt: Prompt) -> list[int]:
        """Tokens of the prompt, and of the prefix without its trailing white space.

        Models write a word together with the space before it: behind a space of its own they are lost.
        """
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if self._chat:
            turns = turns or [{"role": "user", "content": prompt.text}]
            begun = [{"role": "assistant", "content": prefix}] if prefix else []
            encoded = self._tokenizer.apply_chat_template(
                turns + begun, add_generation_prompt=not begun, continue_final_message=bool(begun), return_dict=True
            )
            return list(encoded["input_ids"])
        return list(self._tokenizer(prompt.as_text() + prefix)["input_ids"])
