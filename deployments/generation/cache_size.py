"""How much transformers' continuous batching keeps in its cache of keys and values, and reads in a step."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from transformers import ContinuousBatchingConfig

CACHE_BYTES = 1 << 30
"""For the keys and values of all requests on a CPU; memory is taken as the cache fills."""

_GPU_SHARE = 0.8  # of the free memory of a GPU, at most
_WITH_THE_CACHE = 2.5
"""What transformers takes on a GPU for a byte of the cache, with copies, indices and masks, and a margin: by its own
formula 1.2 to 1.5 for SmolLM2, Qwen2.5 (0.5B, 7B) and Gemma 3 (270M). It refuses a cache that does not fit by it."""

_BATCHED_TOKENS = 256  # of prompts in one step, on a CPU: more would delay the requests that are writing
_GPU_BATCHED_TOKENS = 512  # on a GPU: the attention mask has this, times all tokens of the cache
_PAGE_TOKENS = 64

_STEP_BY_STEP: Mapping[str, Any] = {"use_cuda_graph": False, "use_async_batching": False}
"""What a grammar allows depends on the token of the step before: steps neither overlap nor are captured in graphs."""


def batching_config(
    model: Any, context: int, capacity: int, gpu_share: float, free_bytes: int | None = None
) -> ContinuousBatchingConfig:
    """Return transformers' batching for `model`, with room for what all of its requests can write and no more.

    Where that does not fit, the cache has what there is: a bound of our own on a CPU, the free memory on a GPU.

    Args:
        model: a `PreTrainedModel` on its device.
        context: the model's context, in tokens.
        capacity: the most requests in the batch.
        gpu_share: the share of a GPU that this replica may use.
        free_bytes: free memory of the GPU; `None` asks it.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    block = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize * _PAGE_TOKENS
    blocks = capacity * ceil(context / _PAGE_TOKENS)
    if model.device.type != "cpu":
        share = _GPU_SHARE * min(1.0, gpu_share)
        free = _free_bytes(model.device) if free_bytes is None else free_bytes
        fits = blocks * block * _WITH_THE_CACHE < share * free
        return ContinuousBatchingConfig(
            page_size=_PAGE_TOKENS,
            num_blocks=blocks if fits else None,
            max_batch_tokens=max(_GPU_BATCHED_TOKENS, capacity),
            max_requests_per_batch=capacity,
            max_memory_percent=share,
            **_STEP_BY_STEP,
        )
    return ContinuousBatchingConfig(
        page_size=_PAGE_TOKENS,
        # No more than all requests together can fill: the attention mask of every step is as wide as the cache.
        num_blocks=max(2 * capacity, min(ceil(CACHE_BYTES / block), blocks)),
        max_batch_tokens=max(_BATCHED_TOKENS, capacity),
        max_requests_per_batch=capacity,
        **_STEP_BY_STEP,
    )


def _free_bytes(device: Any) -> int:
    """The free memory of a GPU; 0 for one that does not tell: transformers finds out by itself what fits."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
