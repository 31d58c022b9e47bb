"""About how many tokens a request is to be read as, where no model says so: what answers tell, and keys are charged."""

from itertools import chain
from typing import Any

import orjson

from deployments.policy.token_estimate import estimate_tokens
from deployments.request.embeddings import find_vector_input
from deployments.request.inference import InferenceRequest
from deployments.request.ranking import pairs_in


def estimate_prompt_tokens(request: InferenceRequest) -> int:
    """Return about how many tokens the prompt of `request` has, with its tools; of token ids, how many."""
    if request.prompt_tokens:
        return len(request.prompt_tokens)
    if request.vectors:
        return _of_vectors([*chain(*pairs_in(request.inputs))] or find_vector_input(request.inputs).value)
    texts = [message["content"] for message in request.messages] or [request.text]
    tools = orjson.dumps(request.response_format.tools).decode() if request.response_format.tools else ""
    return sum(map(estimate_tokens, (*texts, request.prefix, tools)))


def _of_vectors(value: Any) -> int:
    match value:
        case str():
            return estimate_tokens(value)
        case list():
            return sum(map(_of_vectors, value))
        case _:
            return 1
