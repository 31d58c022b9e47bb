"""Models that score pairs of texts (rerankers), in transformers' format (`task: text-ranking`).

    pairs ──► tokens (a thread; too long: refused, or the second text cut, and told) ──► batches ──► the model

The score is what the model's one label has, or what a language model's logits have for the words that its files name
(`LogitScore`), by the function that its files name as sentence-transformers has it, else between 0 and 1 (the sigmoid):
sentence-transformers and vLLM do the same. The answer is a list of lists of one number. `extras.body` has `space`,
`revision`, and `truncated` with what was cut.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from deployments.formats.calling import InferenceThreads
from deployments.formats.embedding_input import InputError
from deployments.formats.pairs import PairReader
from deployments.formats.sentence import LogitScore, RecipeError, read_score_files
from deployments.formats.text_batches import TextBatches, Vector
from deployments.formats.text_bounds import longest_text
from deployments.formats.weights import load_weights
from deployments.generation.progress import Progress
from deployments.policy.extras import Extras
from deployments.policy.outcome import Answered, Outcome, Usage
from deployments.request import InferenceRequest
from deployments.request.ranking import pairs_in
from deployments.settings import HuggingFaceSpec
from deployments.sources.checkpoint import LoadedModel

_READERS = 2
_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"Sigmoid": torch.sigmoid, "Identity": torch.clone}


class _Pair(tuple[int, ...]):  # noqa: SLOT001 - a tuple of any length has no slots
    """The token ids of a pair, which are batched as those of a text are.

    Attributes:
        sides: for each token the text that it belongs to; empty where the model does not tell them apart.
    """

    sides: Sequence[int] = ()


class ScoringModel:
    """Scores pairs of texts, in batches of what is asked at the same time."""

    def __init__(self, loaded: LoadedModel, spec: HuggingFaceSpec, clock: Callable[[], float] = time.monotonic) -> None:
        """Score a batch of two pairs, to find that it can be done.

        Args:
            loaded: the model, on its device.
            spec: its spec.
            clock: seconds since any moment, by which `stalled_s` is measured.

        Raises:
            RecipeError: the model has more labels than one, or its files ask for what is not known here.
        """
        config, files = loaded.model.config, read_score_files(loaded.folder)
        if files.logits is None and config.num_labels != 1:
            raise RecipeError(f"it has {config.num_labels} labels, and a model that scores has one")
        if files.logits is not None and not all(0 <= each < config.vocab_size for each in files.logits.tokens):
            raise RecipeError(f"its score is read from tokens that it does not have: {files.logits.tokens}")
        self._logits = files.logits
        self._activation = _activation(config, files.activation)
        self._loaded, self._spec = loaded, spec
        bounds = (spec.embedding.max_tokens, longest_text(loaded))
        self._longest = min(bound for bound in bounds if bound > 0)
        cuts = spec.long_prompt == "truncate"
        self._reader = PairReader(
            loaded.tokenizer, spec.embedding.pair_template, self._longest, cuts=cuts, prompt=files.prompt
        )
        if config.pad_token_id is None:
            config.pad_token_id = loaded.tokenizer.pad_token_id
        # A language model's score is that of the last token that is not this one.
        self._pad = config.pad_token_id or 0
        self._progress = Progress(clock)
        self._readers = InferenceThreads(_READERS, self._progress)
        thread = InferenceThreads(1, self._progress)
        self._batches = TextBatches(self._score, thread, spec.embedding.batch_texts, spec.embedding.batch_tokens)
        self._score(self._tokenize([("a", "a"), ("a", "a a")])[0])

    @classmethod
    def load(cls, spec: HuggingFaceSpec, cache: Path) -> "ScoringModel":
        """Load the weights from the first source that has them.

        Raises:
            sources.NoSourceError: no source has them.
            RecipeError: they are not those of a model that scores pairs.
            RuntimeError: a GPU is demanded and there is none.
        """
        return cls(load_weights(spec, cache), spec)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome:  # noqa: ARG002 - a batch is short
        """Answer with a list of one score for each pair, or reject what has none. The model's errors are raised.

        A request that is cancelled leaves the queue; a batch that has begun goes on.
        """
        try:
            given, cut = await self._readers.run(partial(self._tokenize, self._pairs(request)))
        except InputError as error:
            return error.rejected
        scores = await self._batches.vectors(given)
        about: dict[str, Any] = {"space": self._spec.vector_space, "revision": self._loaded.revision}
        return Answered(
            scores,
            Usage(sum(map(len, given)), 0),
            extras=Extras(body={**about, "truncated": cut} if cut else about),
        )

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`."""
        return {
            "format": "huggingface",
            "task": self._spec.task,
            "weights": self._loaded.name,
            "device": str(self._loaded.model.device),
            "space": self._spec.vector_space,
            "revision": self._loaded.revision,
            "activation": self._activation,
            "score": "head" if self._logits is None else "logits",
            "pairs": self._reader.by,
            "max_tokens": self._longest,
        }

    def stalled_s(self) -> float:
        """Seconds since a call last began or ended, while at least one is under way; 0 while none is."""
        return self._progress.stalled_s()

    def _pairs(self, request: InferenceRequest) -> Sequence[tuple[str, str]]:
        pairs, most = pairs_in(request.inputs), self._spec.embedding.max_texts
        if not pairs:
            raise InputError("model", "scores pairs of texts; accepted: POST /v1/rerank or /v1/score")
        if len(pairs) > most:
            raise InputError("documents", f"are {len(pairs)}; accepted: at most {most}")
        return pairs

    def _tokenize(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[_Pair], list[dict[str, int]]]:
        """Return the token ids of each pair within the model's bound, and what was cut: the end of the second text.

        Raises:
            InputError: a pair is too long, and the spec does not have it cut; or its first text alone is.
        """
        given, cut = [], []
        for index, (first, second) in enumerate(pairs):
            read = self._reader.read(first, second, index)
            if read.tokens > len(read.ids):
                cut.append({"index": index, "tokens": read.tokens, "kept": len(read.ids)})
            pair = _Pair(read.ids)
            pair.sides = read.sides
            given.append(pair)
        return given, cut

    def _score(self, pairs: Sequence[Sequence[int]]) -> list[Vector]:
        with torch.inference_mode():
            read = self._by_head(pairs) if self._logits is None else self._by_logits(pairs, self._logits)
            scores = _FUNCTIONS[self._activation](read)
        if not bool(torch.isfinite(scores).all()):
            raise FloatingPointError("the model gave a score that is NaN or an infinity")
        made: list[Vector] = scores.cpu().tolist()
        return made

    def _by_head(self, pairs: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return one number a pair, in float32: what the model's one label has."""
        inputs = {"input_ids": self._padded(pairs, self._pad), "attention_mask": self._padded(_ones(pairs), 0)}
        sides = [pair.sides for pair in pairs if isinstance(pair, _Pair) and pair.sides]
        if len(sides) == len(pairs):
            inputs["token_type_ids"] = self._padded(sides, 0)
        scores: torch.Tensor = self._loaded.model(**inputs).logits.float()
        return scores

    def _by_logits(self, pairs: Sequence[Sequence[int]], score: LogitScore) -> torch.Tensor:
        """Return one number a pair, in float32: how much likelier the model is to go on with the one token.

        Padded on the left, all pairs end at the same place, and the logits of no other one are made: a batch of all of
        them would be as large as the model.
        """
        mask = self._padded(_ones(pairs), 0, left=True)
        logits = self._loaded.model(
            input_ids=self._padded(pairs, self._pad, left=True),
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            logits_to_keep=1,
            use_cache=False,
        ).logits[:, -1].float()  # fmt: skip
        scores: torch.Tensor = logits[:, score.yes] - (0.0 if score.no is None else logits[:, score.no])
        return scores.unsqueeze(1)

    def _padded(self, rows: Sequence[Sequence[int]], fill: int, *, left: bool = False) -> torch.Tensor:
        width, spaces = max(map(len, rows)), [fill]
        made = [[*spaces * (width - len(row)), *row] if left else [*row, *spaces * (width - len(row))] for row in rows]
        return torch.tensor(made, device=self._loaded.model.device)


def _ones(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[1] * len(row) for row in rows]


def _activation(config: Any, told: str) -> str:
    """Return the function that is `told` by the files for the scores, or that the model's `config.json` names.

    Raises:
        RecipeError: it is not known here.
    """
    named = told or (getattr(config, "sentence_transformers", None) or {}).get("activation_fn")
    named = named or getattr(config, "sbert_ce_default_activation_function", None) or "Sigmoid"
    name = str(named).rpartition(".")[2]
    if name not in _FUNCTIONS:
        raise RecipeError(f"its scores go through {name[:64]}; known: {', '.join(_FUNCTIONS)}")
    return name
