"""Sampling in a batch, each request by its own parameters: processors of the batch's logits.

    matcher         masks the tokens that the request's grammar does not allow
    written         penalties, biases and the shortest answer, as `logits` has them for a request alone
    temperature     the divisor of the logits
    top_k           the number of the likeliest tokens that are kept
    top_p           the nucleus among those
    min_p           the least probability of a token, as a share of the likeliest one's
    draw_keys       the keys of the Gumbel noise that turns taking the likeliest token into sampling

Each processor is given one value for each request, and 0 leaves the logits of that request as they are: a greedy
request stays greedy, whatever else is in the batch. transformers has its own processors for temperature and `top_p`,
but none for a seed, and after them it samples either all requests of a batch or none.
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
from deployments.generation.grammar_matcher import TokenMatcher
from deployments.generation.gumbel import DrawKeys, gumbel_noise

_Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def processor_arguments(
    sampling: Sampling, written: LogitsProcessorList, matcher: TokenMatcher | None = None
) -> Mapping[str, Any]:
    """The arguments of a request for the batch's processors; none for a greedy request that no grammar holds.

    Args:
        sampling: the request's sampling.
        written: its `logits.written_processors`.
        matcher: holds it to its grammar.
    """
    held: dict[str, Any] = {"matcher": matcher} if matcher else {}
    if written:
        held["written"] = written
    if sampling.temperature <= 0:
        return held
    return {
        **held,
        "temperature": sampling.temperature,
        "top_k": float(sampling.top_k),
        "top_p": sampling.top_p if sampling.top_p < 1 else 0.0,  # with 1 every token is kept: there is nothing to sort
        "min_p": sampling.min_p,
        "draw_keys": DrawKeys(sampling.seed),
    }


def batch_logits_processors() -> ContinuousBatchingLogitsProcessorList:
    """The processors of a batch."""
    chain = [_Grammar(), _Written(), _Temperature(), _TopK(), _TopP(), _MinP(), _GumbelNoise()]
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(chain))
    processors.tensors_required = len(chain)  # transformers counts only the processors that it has converted itself
    return processors


class _PerRequest(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Changes the logits of the requests whose value is not 0."""

    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """0 for a request without an argument: its logits stay as they are."""
        int32_tensor.zero_()

    def _apply(self, scores: torch.Tensor, values: torch.Tensor, change: _Change) -> torch.Tensor:
        """`scores` with `change(row, value)` for every row whose value is not 0."""
        rows = (values != 0).nonzero().squeeze(-1)
        if rows.numel():
            scores = scores.index_copy(0, rows, change(scores[rows], values[rows]))
        return scores


class _Grammar(_PerRequest):
    """Makes the tokens impossible that a request's grammar does not allow.

    Masks are made on the CPU before each step, from all tokens that were written before it.
    """

    supported_kwargs = {"matcher": TokenMatcher}  # noqa: RUF012 - as in its base

    def __init__(self) -> None:
        self._masks: dict[int, torch.Tensor] = {}

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        self._masks.clear()
        for row, request in enumerate(requests_with_new_token):
            matcher = request.state.logit_processor_kwargs.get("matcher")
            if matcher is not None:
                matcher.advance(_written(request.state))
                self._masks[row] = ~matcher.allowed()
        return torch.tensor([row in self._masks for row in range(len(requests_with_new_token))], dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - as in its base
        for row, mask in self._masks.items():
            scores[row].masked_fill_(mask.to(scores.device), -torch.inf)
        return scores


class _Written(_PerRequest):
    """Changes the logits of a request by what it has read and written, one request after the other."""

    supported_kwargs = {"written": LogitsProcessorList}  # noqa: RUF012 - as in its base

    def __init__(self) -> None:
        self._rows: dict[int, tuple[LogitsProcessorList, list[int]]] = {}

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        self._rows.clear()
        for row, request in enumerate(requests_with_new_token):
            if written := request.state.logit_processor_kwargs.get("written"):
                self._rows[row] = written, [*request.state.initial_tokens, *request.state.generated_tokens]
        return torch.tensor([row in self._rows for row in range(len(requests_with_new_token))], dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - as in its base
        for row, (change, tokens) in self._rows.items():
            read_and_written = torch.tensor([tokens], dtype=torch.int64, device=scores.device)
            scores[row] = change(read_and_written, scores[row].unsqueeze(0))[0]
        return scores


def _written(state: Any) -> list[int]:
    """The tokens that a request has written; those from before it was begun anew stand behind its prompt."""
    before = state.initial_tokens[state._true_initial_tokens :] if state._true_initial_tokens else []  # noqa: SLF001
    return [*before, *state.generated_tokens]


class _Temperature(_PerRequest):
    supported_kwargs = {"temperature": float}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        return _as_int32(_floats("temperature", requests_with_new_token))

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        temperatures = _as_float32(tensor_arg, scores)
        return self._apply(scores, temperatures, lambda logits, temperature: logits / temperature.unsqueeze(-1))


class _TopK(_PerRequest):
    """Keeps the `top_k` likeliest tokens, and those that are as likely as the last of them."""

    supported_kwargs = {"top_k": float}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        return _as_int32(_floats("top_k", requests_with_new_token))

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        return self._apply(scores, _as_float32(tensor_arg, scores), self._keep_likeliest)

    def _keep_likeliest(self, logits: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
        place = top_k.clamp(1, logits.size(-1)).to(torch.int64) - 1
        least = logits.sort(-1, descending=True).values.gather(-1, place.unsqueeze(-1))
        return logits.masked_fill(logits < least, -torch.inf)


class _TopP(_PerRequest):
    """Keeps the smallest set of likeliest tokens that has `top_p` of the probability."""

    supported_kwargs = {"top_p": float}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        return _as_int32(_floats("top_p", requests_with_new_token))

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        return self._apply(scores, _as_float32(tensor_arg, scores), self._keep_nucleus)

    def _keep_nucleus(self, logits: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
        likeliest = logits.sort(-1, descending=True).values
        probabilities = likeliest.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # the probability of all likelier tokens together
        least = likeliest.masked_fill(before >= top_p.unsqueeze(-1), torch.inf).amin(-1, keepdim=True)
        return logits.masked_fill(logits < least, -torch.inf)


class _MinP(_PerRequest):
    """Leaves out tokens that have less than `min_p` of the likeliest token's probability."""

    supported_kwargs = {"min_p": float}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        return _as_int32(_floats("min_p", requests_with_new_token))

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        return self._apply(scores, _as_float32(tensor_arg, scores), self._keep_probable)

    def _keep_probable(self, logits: torch.Tensor, min_p: torch.Tensor) -> torch.Tensor:
        # A share of a probability is a distance between logits.
        least = logits.amax(-1, keepdim=True) + min_p.log().unsqueeze(-1)
        return logits.masked_fill(logits < least, -torch.inf)


class _GumbelNoise(_PerRequest):
    supported_kwargs = {"draw_keys": DrawKeys}  # noqa: RUF012 - as in its base

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        keys = [request.state.logit_processor_kwargs.get("draw_keys") for request in requests_with_new_token]
        return torch.tensor([0 if of_request is None else of_request.next() for of_request in keys], dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        keys = tensor_arg[: scores.size(0)]
        return self._apply(scores, keys, lambda logits, key: logits + gumbel_noise(key, logits.size(-1)))


def _floats(name: str, requests: Sequence[Any]) -> torch.Tensor:
    values = [request.state.logit_processor_kwargs.get(name, 0.0) for request in requests]
    return torch.tensor(values, dtype=torch.float32)


def _as_int32(values: torch.Tensor) -> torch.Tensor:
    """The bits of float32 values as int32, the type in which the batch keeps arguments."""
    return values.view(torch.int32)


def _as_float32(tensor_arg: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The values of the rows of `scores`; `tensor_arg` may be longer."""
    return tensor_arg[: scores.size(0)].view(torch.float32)
