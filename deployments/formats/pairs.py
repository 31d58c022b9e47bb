"""Two texts as the token ids that a model that scores them has learnt to read.

    embedding.pair_template      a template of the spec's, in the form that vLLM takes as `--chat-template`
    the tokenizer's template     where it names the roles `query` and `document`, as sentence-transformers writes it
    neither                      the pair of the tokenizer's own, if that sets something between two texts

A model that is read in another way than it was trained for gives scores all the same, and nobody would notice: where it
cannot be told how it wants to be asked, it is not loaded. A chat template that has no such roles is none for pairs:
many models have one from the language model that they were made of.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deployments.formats.embedding_input import TOO_LONG, InputError
from deployments.formats.sentence import RecipeError

_ROLES = ("query", "document")


class ReadPair(NamedTuple):
    """A pair as token ids.

    Attributes:
        ids: the ids.
        sides: for each id the text that it belongs to; empty where the model does not tell them apart.
        tokens: how many ids the whole pair has; more than there are in `ids` where the second text was cut.
    """

    ids: list[int]
    sides: list[int]
    tokens: int


class PairReader:
    """Reads pairs, within the bound of a model.

    Attributes:
        by: what says how: `pair_template`, `chat_template` or `tokenizer`.
    """

    def __init__(self, tokenizer: Any, template: str, longest: int, *, cuts: bool, prompt: str = "") -> None:
        """Find out how pairs are read.

        Args:
            tokenizer: the model's.
            template: the spec's template, which has everything in it; empty where it has none.
            longest: the most tokens of a pair.
            cuts: the end of the second text is left out where a pair is too long.
            prompt: what the files have said before each pair: a system turn of the tokenizer's template.

        Raises:
            RecipeError: the template has no place for both texts or for the prompt, or nothing says how pairs are to
                be read.
        """
        self._tokenizer, self._longest, self._cuts = tokenizer, longest, cuts
        own = getattr(tokenizer, "chat_template", None)
        own = own if isinstance(own, str) and all(role in own for role in _ROLES) else ""
        self._template = template or own
        self.by = "pair_template" if template else "chat_template" if own else "tokenizer"
        self._before = [{"role": "system", "content": prompt}] if prompt and not template else []
        if self._template:
            self._require_places()
        elif self._before:
            raise _no_place_for(prompt)
        elif not _sets_something_between(tokenizer):
            raise RecipeError(
                "its tokenizer sets nothing between two texts, and it has no template with the roles query and "
                "document; accepted: embedding.pair_template"
            )

    def read(self, first: str, second: str, place: int) -> ReadPair:
        """Read a pair; `place` is that of its second text among those that were asked about.

        Raises:
            InputError: it is too long, and is not cut, or its first text alone is too long.
        """
        read = self._tokens(first, second)
        tokens = len(read["input_ids"])
        if tokens > self._longest:
            alone = len(self._tokens(first, "")["input_ids"])
            if not self._cuts or alone >= self._longest:
                raise self._too_long(place, tokens)
            read = self._cut(first, second, place, tokens)
        return ReadPair(read["input_ids"], read.get("token_type_ids", []), tokens)

    def _tokens(self, first: str, second: str) -> Mapping[str, Any]:
        read: Mapping[str, Any]
        if not self._template:
            read = self._tokenizer(first, second, truncation=False)
            return read
        # A template of the tokenizer's own writes special tokens itself; vLLM has them added to one that it is given.
        adds = self.by == "pair_template"
        read = self._tokenizer(self._rendered(first, second), truncation=False, add_special_tokens=adds)
        return read

    def _rendered(self, first: str, second: str) -> str:
        turns = [{"role": role, "content": text} for role, text in zip(_ROLES, (first, second), strict=True)]
        return self._written([*self._before, *turns])

    def _written(self, turns: Sequence[Mapping[str, str]]) -> str:
        rendered: str = self._tokenizer.apply_chat_template(turns, chat_template=self._template, tokenize=False)
        return rendered

    def _cut(self, first: str, second: str, place: int, tokens: int) -> Mapping[str, Any]:
        """Return the pair without the end of its second text: what a template writes behind that is kept."""
        read: Mapping[str, Any]
        if not self._template:
            read = self._tokenizer(first, second, truncation="only_second", max_length=self._longest)
            return read
        parts = self._tokenizer(second, add_special_tokens=False, truncation=False, return_offsets_mapping=True)
        ends = [end for _, end in parts.get("offset_mapping", ())]  # of a tokenizer in Python: none
        kept, left = len(ends), tokens
        while left > self._longest:
            kept -= left - self._longest
            if kept < 1:
                raise self._too_long(place, tokens)
            read = self._tokens(first, second[: ends[kept - 1]])
            left = len(read["input_ids"])
        return read

    def _too_long(self, place: int, tokens: int) -> InputError:
        reason = f"has {tokens} tokens with its query; accepted: at most {self._longest}"
        return InputError(f"documents[{place}]", reason, TOO_LONG, elsewhere=True)

    def _require_places(self) -> None:
        """Raise `RecipeError` unless the template writes both texts and the prompt, which is seen by what it writes."""
        try:
            written = {self._rendered(*pair) for pair in (("a", "a"), ("b", "a"), ("a", "b"))}
            unprompted = self._written([{"role": role, "content": "a"} for role in _ROLES])
        except Exception as error:  # a template is a program, and may raise anything
            raise RecipeError(f"the {self.by} cannot be rendered: {error}") from error
        if len(written) < 3:  # noqa: PLR2004 - it is the same for two of the three
            raise RecipeError(f"the {self.by} does not write both texts; accepted: the roles query and document")
        if self._before and unprompted in written:
            raise _no_place_for(self._before[0]["content"])


def _sets_something_between(tokenizer: Any) -> bool:
    """Return whether a tokenizer tells two texts apart: between their tokens there are others."""
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b"))
    ids, together = tokenizer("a", "b")["input_ids"], [*first, *second]
    return all(ids[place : place + len(together)] != together for place in range(len(ids)))


def _no_place_for(prompt: str) -> RecipeError:
    told = f"no template writes its prompt {prompt[:64]!r}, which goes before pairs as a system turn"
    return RecipeError(f"{told}; accepted: embedding.pair_template")
