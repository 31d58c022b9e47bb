"""The tokens of a prompt are estimated by all that its model reads, whatever the format."""

from typing import Any

import orjson
import pytest

from deployments.request import native
from deployments.request.body import Limits
from deployments.request.embeddings import embeddings_request
from deployments.request.openai import chat_request
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.request.ranking import rerank_request

LIMITS = Limits(max_bytes=100_000, timeout_s=30.0, max_timeout_s=300.0)
TEXT = "x" * 400


@pytest.mark.parametrize(("given", "tokens"), [(TEXT, 100), ([TEXT, TEXT], 200), ([1, 2, 3], 3), ([[1, 2, 3], [4]], 4)])
def test_every_text_and_token_that_vectors_are_wanted_of_counts(given: Any, tokens: int) -> None:
    asked = embeddings_request(orjson.dumps({"input": given}), LIMITS)

    assert estimate_prompt_tokens(asked.request) == tokens


def test_every_pair_that_scores_are_wanted_of_counts_with_its_query() -> None:
    asked = rerank_request(orjson.dumps({"query": TEXT, "documents": [TEXT, TEXT]}), LIMITS)

    assert estimate_prompt_tokens(asked.request) == 400


def test_tools_count_as_their_model_reads_them_too() -> None:
    body = {"messages": [{"role": "user", "content": TEXT}]}
    tool = {"type": "function", "function": {"name": "look", "description": TEXT}}

    plain, with_tools = (
        estimate_prompt_tokens(chat_request(orjson.dumps(body | more), LIMITS).requests[0])
        for more in ({}, {"tools": [tool]})
    )

    assert (plain, with_tools > plain + 100) == (100, True)


def test_a_text_counts_by_itself() -> None:
    assert estimate_prompt_tokens(native.from_body(orjson.dumps({"text": TEXT}), LIMITS)) == 100
