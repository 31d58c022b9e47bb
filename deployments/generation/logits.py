"""Sampling for a single request: processors of its logits. Those of a batch are in `batch_sampling`."""

from collections.abc import Callable, Sequence

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from deployments.generation import Sampling, TokenLogprob
from deployments.generation.gumbel import DrawKeys, gumbel_noise


def logits_processors(sampling: Sampling, prompt_tokens: int, end_tokens: Sequence[int]) -> LogitsProcessorList:
    """The processors for one request: penalties and bias, the shortest answer, temperature, what is kept, the draw.

    Args:
        sampling: the request's sampling.
        prompt_tokens: how many tokens at the beginning of the input are the prompt.
        end_tokens: the tokens that end an answer.
    """
    chain = written_processors(sampling, prompt_tokens, end_tokens)
    if sampling.temperature > 0:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            chain.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            chain.append(TopPLogitsWarper(sampling.top_p))
        if sampling.min_p:
            chain.append(MinPLogitsWarper(sampling.min_p))
        chain.append(_GumbelNoise(sampling.seed))
    return chain


def written_processors(sampling: Sampling, prompt_tokens: int, end_tokens: Sequence[int]) -> LogitsProcessorList:
    """Those of `logits_processors` that change logits by what has been read and written, or by their ids.

    There are none for most requests. The arguments are those of `logits_processors`.
    """
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.presence_penalty or sampling.frequency_penalty:
        chain.append(_Penalties(sampling.presence_penalty, sampling.frequency_penalty, prompt_tokens))
    if sampling.logit_bias:
        chain.append(_Bias(dict(sampling.logit_bias)))
    if early := [*end_tokens, *sampling.stop_token_ids] if sampling.min_tokens else []:
        chain.append(_NotBefore(prompt_tokens + sampling.min_tokens, early))
    return chain


class LogprobRecorder(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Keeps the log probabilities of each place, as the model gave them: to be the first of a chain."""

    def __init__(self, top: int | None, text_of: Callable[[int], str]) -> None:
        """Keep the log probabilities of the token that is written and of the `top` likeliest ones.

        Args:
            top: how many of the likeliest ones; `None` counts as 0.
            text_of: returns the text of a token.
        """
        self._top = top or 0
        self._text_of = text_of
        self._told: list[TokenLogprob] = []
        self._place: torch.Tensor | None = None  # of the token that is about to be chosen: of the whole vocabulary

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Keep the log probabilities of the next place."""
        self._tell(int(input_ids[0, -1]))
        self._place = scores[0].float().log_softmax(-1)
        return scores

    def read(self, tokens: Sequence[int]) -> tuple[TokenLogprob, ...]:
        """The log probabilities of `tokens`, which are all that were written."""
        if tokens:
            self._tell(tokens[-1])
        return tuple(self._told[: len(tokens)])

    def _tell(self, token: int) -> None:
        if self._place is None:
            return
        likeliest = self._place.topk(self._top)
        pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        top = tuple((self._text_of(each), value) for each, value in pairs)
        self._told.append(TokenLogprob(self._text_of(token), float(self._place[token]), top))
        self._place = None


class _NotBefore(LogitsProcessor):  # type: ignore[misc]
    """Keeps tokens from being written before the input has a length."""

    def __init__(self, length: int, tokens: Sequence[int]) -> None:
        self._length, self._tokens = length, list(tokens)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[-1] >= self._length:
            return scores
        held = scores.clone()
        held[:, [token for token in self._tokens if token < scores.shape[-1]]] = -torch.inf
        return held


class _Penalties(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Presence and frequency penalty, by the formula in OpenAI's API reference."""

    def __init__(self, presence: float, frequency: float, prompt_tokens: int) -> None:
        self._presence, self._frequency, self._prompt_tokens = presence, frequency, prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = input_ids[:, self._prompt_tokens :]
        counts = torch.zeros_like(scores).scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


class _Bias(LogitsProcessor):  # type: ignore[misc]
    """Logit bias; ids beyond the vocabulary are ignored."""

    def __init__(self, bias: dict[int, float]) -> None:
        self._bias = bias

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        known = {token: value for token, value in self._bias.items() if token < scores.shape[-1]}
        biased = scores.clone()
        biased[:, list(known)] += torch.tensor(list(known.values()), dtype=scores.dtype, device=scores.device)
        return biased


class _GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Adds noise that turns taking the likeliest token into sampling; see `gumbel`."""

    def __init__(self, seed: int | None) -> None:
        self._keys = DrawKeys(seed)

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        key = torch.tensor([self._keys.next()], device=scores.device)
        return scores + gumbel_noise(key, scores.shape[-1])
