"""Models that make vectors of texts, in transformers' format (`task: feature-extraction`).

    read ──► tokens (a thread; too long: refused, or cut and told) ──► batches ──► the model ──► pooled, of length 1

The answer is a vector, or a list of vectors where a list was given. `extras.body` of the answer has `dimensions`,
`space`, `revision`, and `truncated` with what was cut.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from deployments.formats.calling import InferenceThreads
from deployments.formats.embedding_input import TOO_LONG, InputError, Inputs, Tokens, read_inputs
from deployments.formats.sentence import Recipe, pool, read_recipe, unit
from deployments.formats.text_batches import TextBatches, Vector
from deployments.formats.text_bounds import longest_text
from deployments.formats.tokenizing import told_in_vllms_words
from deployments.formats.weights import load_weights
from deployments.generation import Tokenization
from deployments.generation.progress import Progress
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Outcome, Rejected, Usage
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest
from deployments.settings import HuggingFaceSpec
from deployments.sources.checkpoint import LoadedModel

_READERS = 2
"""Threads that turn texts into tokens, beside the one that runs the model."""


class EmbeddingModel:
    """Makes vectors of texts, in batches of what is asked at the same time."""

    def __init__(
        self, loaded: LoadedModel, spec: HuggingFaceSpec, recipe: Recipe, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make one vector, to find that it can be done.

        Args:
            loaded: the model, on its device.
            spec: its spec.
            recipe: how the vectors are made.
            clock: seconds since any moment, by which `stalled_s` is measured.
        """
        config = loaded.model.config
        config.use_cache = False  # a model that can write would keep what it needs to go on with each text
        self._encoder = loaded.model.get_encoder() if config.is_encoder_decoder else loaded.model
        self._loaded, self._spec, self._recipe = loaded, spec, recipe
        self._vocabulary = int(config.vocab_size)
        self._longest = min(bound for bound in (recipe.max_tokens, longest_text(loaded)) if bound > 0)
        self._pad = loaded.tokenizer.pad_token_id or 0
        self._progress = Progress(clock)
        self._readers = InferenceThreads(_READERS, self._progress)
        bounds = spec.embedding
        thread = InferenceThreads(1, self._progress)
        self._batches = TextBatches(self._encode, thread, bounds.batch_texts, bounds.batch_tokens)
        self._dimensions = len(self._encode([self._tokenize(Inputs("text", ("a",), single=True), "")[0]])[0])
        self._shorter = _shorter(config, self._dimensions, bounds.dimensions)

    @classmethod
    def load(cls, spec: HuggingFaceSpec, cache: Path) -> "EmbeddingModel":
        """Load the weights from the first source that has them.

        Raises:
            sources.NoSourceError: no source has them.
            RecipeError: its files ask for something that is not known here.
            RuntimeError: a GPU is demanded and there is none.
        """
        loaded = load_weights(spec, cache)
        return cls(loaded, spec, read_recipe(loaded.folder, spec.embedding))

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - a batch is short
        """Answer with a vector for each text, or reject what no vector can be made of. The model's errors are raised.

        A request that is cancelled leaves the queue; a batch that has begun goes on.
        """
        try:
            inputs = read_inputs(request, self._spec.embedding.max_texts, self._vocabulary)
            dimensions = self._wanted_dimensions(request.inputs)
            prompt = self._prompt(request.inputs)
            texts = await self._readers.run(partial(self._tokenize, inputs, prompt))
            given, cut = self._within_bounds(inputs, texts)
        except InputError as error:
            return error.rejected
        vectors = await self._batches.vectors(given)
        if dimensions < self._dimensions:
            vectors = await self._readers.run(partial(self._shortened, vectors, dimensions))
        about = {"dimensions": dimensions, "space": self._spec.vector_space, "revision": self._loaded.revision}
        return Answered(
            vectors[0] if inputs.single else vectors,
            Usage(sum(map(len, given)), 0),
            extras=Extras(body={**about, "truncated": cut} if cut else about),
        )

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Answer a question to its tokenizer about a text, without the model's prompts; see `formats.Tokenizing`."""
        if asked.request.messages:
            return Rejected("a model of vectors reads no messages; accepted: prompt", "messages")
        if unknown := [token for token in asked.tokens if token >= self._vocabulary]:
            return Rejected(f"the token {unknown[0]} is not one of the {self._vocabulary} of its vocabulary", "tokens")
        return await self._readers.run(partial(self._tokenization, asked))

    def _tokenization(self, asked: TokensRequest) -> Outcome:
        tokenizer = self._loaded.tokenizer
        if asked.tokens:
            return told_in_vllms_words(Tokenization(self._longest, asked.tokens, tokenizer.decode(asked.tokens)), asked)
        text = asked.request.text.lower() if self._recipe.lower else asked.request.text
        tokens = tokenizer(text, add_special_tokens=asked.special, truncation=False)["input_ids"]
        strings = tokenizer.convert_ids_to_tokens(tokens) if asked.strings else ()
        return told_in_vllms_words(Tokenization(self._longest, tokens, strings=tuple(strings)), asked)

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`."""
        return {
            "format": "huggingface",
            "task": self._spec.task,
            "weights": self._loaded.name,
            "device": str(self._loaded.model.device),
            "space": self._spec.vector_space,
            "revision": self._loaded.revision,
            "dimensions": self._dimensions,
            "pooling": list(self._recipe.pooling),
            "normalized": self._recipe.normalize,
            "max_tokens": self._longest,
        }

    def stalled_s(self) -> float:
        """Seconds since a call last began or ended, while at least one is under way; 0 while none is."""
        return self._progress.stalled_s()

    def _wanted_dimensions(self, inputs: Mapping[str, Any]) -> int:
        wanted = inputs.get("dimensions")
        if wanted is None:
            return self._dimensions
        possible = sorted({*self._shorter, self._dimensions})
        if isinstance(wanted, bool) or wanted not in possible:
            told = ", ".join(map(str, possible)) if len(possible) <= _MOST_TOLD else f"1 to {possible[-1]}"
            raise InputError("dimensions", f"is none that the model is trained for; accepted: {told}")
        return int(wanted)

    def _prompt(self, inputs: Mapping[str, Any]) -> str:
        name = inputs.get("prompt_name")
        if name is None:
            usual = self._recipe.default_prompt
            return self._recipe.prompts[usual] if usual else ""
        if not isinstance(name, str) or name not in self._recipe.prompts:
            known = ", ".join(sorted(self._recipe.prompts)[:_MOST_TOLD]) or "none, as the model has no prompts"
            raise InputError("prompt_name", f"is no prompt of the model; accepted: {known}")
        return self._recipe.prompts[name]

    def _tokenize(self, inputs: Inputs, prompt: str) -> list[Tokens]:
        """Return the token ids of each item, however many; texts get the prompt and the special tokens."""
        texts = [f"{prompt}{item}" for item in inputs.items if isinstance(item, str)]
        texts = [text.lower() for text in texts] if self._recipe.lower else texts
        read = iter(self._loaded.tokenizer(texts, truncation=False, padding=False)["input_ids"] if texts else ())
        return [next(read) if isinstance(item, str) else item for item in inputs.items]

    def _within_bounds(self, inputs: Inputs, texts: Sequence[Tokens]) -> tuple[list[Tokens], list[dict[str, int]]]:
        """Return the texts within the model's bound, and what was cut; the end of a text is what is left out.

        Raises:
            InputError: a text is too long, and the spec does not have it cut; or there is no token in it.
        """
        given, cut = [], []
        for index, tokens in enumerate(texts):
            if not tokens:
                raise InputError(inputs.place(index), "has no token that the model knows; accepted: another text")
            kept = tokens
            if len(tokens) > self._longest:
                if self._spec.long_prompt == "refuse":
                    reason = f"has {len(tokens)} tokens; accepted: at most {self._longest}"
                    raise InputError(inputs.place(index), reason, TOO_LONG, elsewhere=True)
                kept = self._shortened_text(tokens, is_text=isinstance(inputs.items[index], str))
                cut.append({"index": index, "tokens": len(tokens), "kept": len(kept)})
            given.append(kept)
        return given, cut

    def _shortened_text(self, tokens: Tokens, *, is_text: bool) -> Tokens:
        """Return the beginning of a text; the special tokens at its end stay."""
        special = set(self._loaded.tokenizer.all_special_ids) if is_text else set()
        end = len(tokens)
        while end and tokens[end - 1] in special:
            end -= 1
        tail = list(tokens[end:])[: self._longest - 1]
        return [*tokens[: self._longest - len(tail)], *tail]

    def _encode(self, texts: Sequence[Tokens]) -> list[Vector]:
        width = max(map(len, texts))
        device = self._loaded.model.device
        ids = torch.tensor([[*text, *[self._pad] * (width - len(text))] for text in texts], device=device)
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=device)
        with torch.inference_mode():
            hidden = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = pool(hidden, mask, self._recipe)
        if not bool(torch.isfinite(vectors).all()):
            raise FloatingPointError("the model gave a vector with NaN or an infinity in it")
        made: list[Vector] = vectors.cpu().tolist()
        return made

    def _shortened(self, vectors: Sequence[Vector], dimensions: int) -> list[Vector]:
        short = torch.tensor(vectors)[:, :dimensions]
        made: list[Vector] = (unit(short) if self._recipe.normalize else short).tolist()
        return made


_MOST_TOLD = 16


def _shorter(config: Any, whole: int, declared: Sequence[int]) -> frozenset[int]:
    """Return the dimensions below `whole` that a model is trained for: declared, or by its `config.json`."""
    named = getattr(config, "matryoshka_dimensions", None)
    if not named and getattr(config, "is_matryoshka", False):
        named = range(1, whole)
    return frozenset(each for each in (*declared, *(named or ())) if isinstance(each, int) and 0 < each < whole)
