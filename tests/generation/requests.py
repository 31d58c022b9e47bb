"""Requests as the batch of transformers holds them."""

from collections.abc import Mapping
from typing import Any

from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState


def request_of(told: Mapping[str, Any]) -> FutureRequestState:
    """One that is about to write a token, by the sampling that its batch was `told`."""
    state = RequestState(request_id="r", initial_tokens=[1], logit_processor_kwargs=dict(told))
    return FutureRequestState(state, has_new_token=True, complete_blocks=0, query_length=1)
