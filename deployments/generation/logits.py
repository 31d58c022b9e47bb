"""How the next token of a single request is chosen, as processors of its logits; of a batch's: `company`."""

from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from deployments.generation import Sampling
from deployments.generation.gumbel import Draws, noise


def processors(sampling: Sampling, prompt_tokens: int, model: Any) -> LogitsProcessorList:
    """The processors for one request, in the order of OpenAI's API: penalties and bias, temperature, nucleus, the draw.

    Args:
        sampling: what is asked for.
        prompt_tokens: how many tokens are not the model's own.
        model: whose generation settings say from how many of the likeliest tokens it samples (`top_k`).
    """
    chain: list[Any] = []
    if sampling.presence_penalty or sampling.frequency_penalty:
        chain.append(_Penalties(sampling.presence_penalty, sampling.frequency_penalty, prompt_tokens))
    if sampling.logit_bias:
        chain.append(_Bias(dict(sampling.logit_bias)))
    if sampling.temperature > 0:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
        if top_k := getattr(model.generation_config, "top_k", None):
            chain.append(TopKLogitsWarper(top_k))
        if sampling.top_p < 1:
            chain.append(TopPLogitsWarper(sampling.top_p))
        chain.append(_Draw(sampling.seed))
    return LogitsProcessorList(chain)


class _Penalties(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Off the logits of what has been written, by the formula in OpenAI's API reference."""

    def __init__(self, presence: float, frequency: float, prompt_tokens: int) -> None:
        self._presence, self._frequency, self._prompt_tokens = presence, frequency, prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = input_ids[:, self._prompt_tokens :]
        counts = torch.zeros_like(scores).scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


class _Bias(LogitsProcessor):  # type: ignore[misc]
    """Added to the logits of single tokens; ids beyond the vocabulary are nobody's."""

    def __init__(self, bias: dict[int, float]) -> None:
        self._bias = bias

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        known = {token: value for token, value in self._bias.items() if token < scores.shape[-1]}
        biased = scores.clone()
        biased[:, list(known)] += torch.tensor(list(known.values()), dtype=scores.dtype, device=scores.device)
        return biased


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Adds the noise that makes the likeliest token a draw."""

    def __init__(self, seed: int | None) -> None:
        self._draws = Draws(seed)

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        key = torch.tensor([self._draws.next()], device=scores.device)
        return scores + noise(key, scores.shape[-1])
