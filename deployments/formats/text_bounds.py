"""How long the texts of a model may be, in tokens, and what becomes of one that is longer."""

from dataclasses import dataclass
from typing import Any

from deployments.formats.calling import UnreadableInputError
from deployments.policy.problem import CONTEXT_LENGTH
from deployments.settings import HuggingFaceSpec
from deployments.sources.checkpoint import LoadedModel

_BOUNDLESS = 1 << 20
"""Tokenizers without a bound say 10 to the power of 30."""


@dataclass(frozen=True, slots=True)
class BoundText:
    """A text within its model's bound.

    Attributes:
        text: what is left of it.
        cut: how many of its last tokens were left out.
    """

    text: str
    cut: int = 0


class TextBounds:
    """The bound of one model.

    Attributes:
        longest: the most tokens of a text, special ones included.
    """

    def __init__(self, loaded: LoadedModel, spec: HuggingFaceSpec) -> None:
        """Take the bound from the files of `loaded`; `spec` says whether a longer text is refused or cut."""
        self.longest = longest_text(loaded)
        self._tokenizer = loaded.tokenizer
        self._cuts = spec.long_prompt == "truncate"

    def bound(self, text: str) -> BoundText:
        """Return `text`, or its beginning where it is too long and the spec has it cut.

        Raises:
            UnreadableInputError: it is too long.
        """
        tokens, ends = self._read(text)
        if tokens <= self.longest:
            return BoundText(text)
        for kept in range(self.longest - (tokens - len(ends)), 0, -1) if self._cuts and ends else ():
            beginning = text[: ends[kept - 1]]
            if self._read(beginning)[0] <= self.longest:  # its last word may be other tokens where nothing follows
                return BoundText(beginning, len(ends) - kept)
        raise self.too_long("text", tokens)

    def too_long(self, field: str, tokens: int) -> UnreadableInputError:
        """Return the error for a text of so many `tokens` in `field`."""
        reason = f"it has {tokens} tokens; accepted: at most {self.longest}"
        return UnreadableInputError(field, reason, CONTEXT_LENGTH, elsewhere=True)

    def _read(self, text: str) -> tuple[int, list[int]]:
        """How many tokens `text` is, and in which characters those end that are not special.

        A tokenizer that is written in Python does not tell places; none are given then, and nothing can be cut.
        """
        read: Any = self._tokenizer(
            text, truncation=False, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        if "offset_mapping" not in read:
            return len(read["input_ids"]), []
        places = zip(read["offset_mapping"], read["special_tokens_mask"], strict=True)
        return len(read["input_ids"]), [end for (_, end), is_special in places if not is_special]


def longest_text(loaded: LoadedModel) -> int:
    """Return the most tokens of a text: the least of what the tokenizer and the model's positions say."""
    positions = int(getattr(loaded.model.config, "max_position_embeddings", 0) or 0)
    # Models of RoBERTa's kind count positions from behind the one of the padding.
    embeddings = getattr(loaded.model.base_model, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    if padding is not None and positions:
        positions -= int(padding) + 1
    known = (positions, int(min(loaded.tokenizer.model_max_length, _BOUNDLESS)))
    return min(bound for bound in known if bound > 0)
