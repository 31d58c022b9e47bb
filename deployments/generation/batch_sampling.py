"""How the next tokens of a batch are chosen, each request by its own sampling: processors of the batch's logits.

    temperature     what the logits are divided by
    top_p           the nucleus, of the `top_k` likeliest where the model names such a number
    draws           where the noise comes from that makes the likeliest token a draw

Each is told a number for each request; 0 leaves its logits as they are, so that a greedy one is greedy in any company.
Of transformers' own there are such processors, too, but none for a seed, and behind them either all requests of a batch
are sampled or none is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)

from deployments.generation import Sampling
from deployments.generation.gumbel import Draws, noise

Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def sampled(sampling: Sampling) -> Mapping[str, Any]:
    """What the batch is told of a request that is not greedy; nothing of one that is."""
    if sampling.temperature <= 0:
        return {}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, "draws": Draws(sampling.seed)}


def choosers(top_k: int) -> ContinuousBatchingLogitsProcessorList:
    """The processors of a batch; `top_k` of the likeliest tokens are sampled from, all where it is 0."""
    chain = [_Temperature(), _Nucleus(top_k), _Draw()]
    made = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(chain))
    made.tensors_required = len(chain)  # transformers counts those that it has converted itself
    return made


class _PerRequest(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Changes the logits of those requests that give it a number."""

    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """A request that says nothing is left alone."""
        int32_tensor.zero_()

    def _applied(self, scores: torch.Tensor, told: torch.Tensor, change: Change) -> torch.Tensor:
        wanted = told != 0
        if scores.device.type != "cpu":  # a captured graph does the same for every batch
            return torch.where(wanted.unsqueeze(-1), change(scores, told), scores)
        rows = wanted.nonzero().squeeze(-1)
        if rows.numel():
            scores = scores.index_copy(0, rows, change(scores[rows], told[rows]))
        return scores


class _Temperature(_PerRequest):
    supported_kwargs = {"temperature": float}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        return _carried(_floats("temperature", requests_with_new_token))

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        told = _seen(tensor_arg, scores)
        return self._applied(scores, told, lambda logits, temperature: logits / temperature.unsqueeze(-1))


class _Nucleus(_PerRequest):
    """Keeps the smallest set of likeliest tokens that has `top_p` of the probability."""

    supported_kwargs = {"top_p": float}  # noqa: RUF012 - as in its base

    def __init__(self, top_k: int) -> None:
        self._top_k = top_k

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        told = _floats("top_p", requests_with_new_token)
        return _carried(
            told if self._top_k else told.where(told < 1, 0.0)
        )  # there, everything is kept: no need to sort it

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        return self._applied(scores, _seen(tensor_arg, scores), self._kept)

    def _kept(self, logits: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
        size = logits.size(-1)
        likeliest = torch.topk(logits, min(self._top_k or size, size)).values  # the largest first
        probabilities = likeliest.softmax(-1)
        likelier = probabilities.cumsum(-1) - probabilities  # of all before each of them
        least = likeliest.masked_fill(likelier >= top_p.unsqueeze(-1), torch.inf).amin(-1, keepdim=True)
        return logits.masked_fill(logits < least, -torch.inf)


class _Draw(_PerRequest):
    supported_kwargs = {"draws": Draws}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        told = [request.state.logit_processor_kwargs.get("draws") for request in requests_with_new_token]
        return torch.tensor([0 if draws is None else draws.next() for draws in told], dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        keys = tensor_arg[: scores.size(0)]
        return self._applied(scores, keys, lambda logits, key: logits + noise(key, logits.size(-1)))


def _floats(name: str, requests: Sequence[Any]) -> torch.Tensor:
    told = [request.state.logit_processor_kwargs.get(name, 0.0) for request in requests]
    return torch.tensor(told, dtype=torch.float32)


def _carried(numbers: torch.Tensor) -> torch.Tensor:
    """As the batch carries numbers: the bits of float32 as int32."""
    return numbers.view(torch.int32)


def _seen(carried: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The number of each row of `scores`; what is carried has room for more."""
    return carried[: scores.size(0)].view(torch.float32)
