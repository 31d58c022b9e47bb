"""Sampling for a single request: processors of its logits. Those of a batch are in `batch_sampling`."""

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
from deployments.generation.gumbel import DrawKeys, gumbel_noise


def logits_processors(sampling: Sampling, prompt_tokens: int, model: Any) -> LogitsProcessorList:
    """The processors for one request: penalties and bias, temperature, top-k, top-p, then the draw.

    Args:
        sampling: the request's sampling.
        prompt_tokens: how many tokens at the beginning of the input are the prompt.
        model: the model; its generation config may set `top_k`.
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
        chain.append(_GumbelNoise(sampling.seed))
    return LogitsProcessorList(chain)


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
