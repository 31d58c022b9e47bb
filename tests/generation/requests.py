"""Requests as transformers' continuous batching holds them."""

from collections.abc import Mapping
from typing import Any

from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState


def future_request(arguments: Mapping[str, Any]) -> FutureRequestState:
    """A request that is about to write a token; `arguments` are those for the batch's logits processors."""
    state = RequestState(request_id="r", initial_tokens=[1], logit_processor_kwargs=dict(arguments))
    return FutureRequestState(state, has_new_token=True, complete_blocks=0, query_length=1)
