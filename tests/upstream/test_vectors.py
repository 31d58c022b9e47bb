"""A remote model of vectors: what it is asked, and which of its answers count."""

from typing import Any

import pytest

from deployments.policy.outcome import Answered, Failed, Outcome, Rejected, Usage
from deployments.request.native import from_python
from tests.request.test_embeddings import read
from tests.request.test_openai import LIMITS
from tests.upstream.calling import call
from tests.upstream.embeddings import VECTORS, vector_of
from tests.upstream.faulty import FaultyUpstream

TEXTS = ["one", "another", "third"]
GOOD = ("vectors", "vectors-base64", "vectors-backwards", "vectors-without-places", "vectors-no-encodings")


async def ask(faulty: FaultyUpstream, scenario: str, spec: dict[str, Any] | None = None, **body: Any) -> Outcome:
    request = read(**{"input": TEXTS, **body}).request
    return await call(faulty, scenario, request, task="feature-extraction", **(spec or {}))


async def test_it_is_asked_at_its_own_embeddings_for_what_the_caller_asked(faulty: FaultyUpstream) -> None:
    await ask(faulty, "vectors", dimensions=4, user="me", encoding_format="base64", input_type="query")

    exchange = faulty.requests[-1]
    assert exchange.target == "/v1/embeddings"
    assert exchange.body == {
        "model": "vectors",
        "input": TEXTS,
        "dimensions": 4,
        "user": "me",
        "input_type": "query",
    }


@pytest.mark.parametrize("scenario", GOOD)
async def test_its_vectors_are_read_in_any_form_and_order(faulty: FaultyUpstream, scenario: str) -> None:
    outcome = await ask(faulty, scenario)

    assert isinstance(outcome, Answered)
    assert outcome.result == [vector_of(text) for text in TEXTS]
    assert outcome.usage == Usage(7, 0)
    assert outcome.extras.body == {"dimensions": 4, "space": "remote"}


@pytest.mark.parametrize("body", [{"text": "one"}, {"input": "one"}, {"input": [1, 2]}])
async def test_a_native_request_for_one_vector_is_answered_with_one(
    faulty: FaultyUpstream, body: dict[str, Any]
) -> None:
    outcome = await call(faulty, "vectors", from_python(body, LIMITS), task="feature-extraction", space="s")

    assert isinstance(outcome, Answered)
    assert outcome.result == vector_of(next(iter(body.values())))
    assert outcome.extras.body["space"] == "s"


@pytest.mark.parametrize("scenario", sorted(VECTORS.keys() - {*GOOD, "vectors-no-dimensions"}))
async def test_anything_else_is_a_failure_and_no_vector(faulty: FaultyUpstream, scenario: str) -> None:
    assert isinstance(await ask(faulty, scenario), Failed)


@pytest.mark.parametrize("scenario", ["status-500", "closes", "no-http", "cut-body"])
async def test_the_faults_of_any_remote_are_its_faults_too(faulty: FaultyUpstream, scenario: str) -> None:
    assert isinstance(await ask(faulty, scenario), Failed)


async def test_what_it_calls_invalid_is_the_callers(faulty: FaultyUpstream) -> None:
    outcome = await ask(faulty, "vectors-no-dimensions", dimensions=2)

    assert isinstance(outcome, Rejected)
    assert (outcome.field, "matryoshka" in outcome.reason) == ("dimensions", True)


async def test_a_response_beyond_its_bound_is_not_read(faulty: FaultyUpstream) -> None:
    outcome = await ask(faulty, "vectors", {"max_answer_bytes": 1024}, input=TEXTS * 100)

    assert "more than 1024 bytes" in outcome.reason
