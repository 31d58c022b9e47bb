"""A remote model that scores pairs: what it is asked, and which of its answers count."""

from typing import Any

import orjson
import pytest

from deployments.policy.outcome import Answered, Failed, Outcome, Rejected, Usage
from deployments.request.ranking import rerank_request, score_request
from tests.request.test_embeddings import read
from tests.request.test_openai import LIMITS
from tests.upstream.calling import call
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.scores import SCORES, score_of

QUERY, DOCUMENTS = "who", ["one", "another", "third"]
EXPECTED = [[score_of(QUERY, document)] for document in DOCUMENTS]
APIS = ("rerank", "tei", "score")
GOOD = ("scores", "scores-unsorted")
OF_RERANK = ("scores-voyage", "scores-cohere", "scores-jina", "scores-no-top-n", "scores-no-return-documents")


async def rank(faulty: FaultyUpstream, scenario: str, api: str = "rerank", **more: Any) -> Outcome:
    asked = rerank_request(orjson.dumps({"query": QUERY, "documents": DOCUMENTS, "top_n": 1, **more}), LIMITS)
    return await call(faulty, scenario, asked.request, task="text-ranking", ranking_api=api)


async def score(faulty: FaultyUpstream, api: str, first: Any, second: Any) -> Outcome:
    request = score_request(orjson.dumps({"text_1": first, "text_2": second}), LIMITS)
    return await call(faulty, "scores", request, task="text-ranking", ranking_api=api)


@pytest.mark.parametrize(
    ("api", "target", "fields"),
    [
        ("rerank", "/v1/rerank", {"model": "scores", "query": QUERY, "documents": DOCUMENTS}),
        ("tei", "/v1/rerank", {"model": "scores", "query": QUERY, "texts": DOCUMENTS}),
        ("score", "/v1/score", {"model": "scores", "text_1": QUERY, "text_2": DOCUMENTS}),
    ],
)
async def test_it_is_asked_in_its_own_words_for_the_scores_of_all_documents(
    faulty: FaultyUpstream, api: str, target: str, fields: dict[str, Any]
) -> None:
    await rank(faulty, "scores", api, user="me", max_tokens_per_doc=64)

    exchange = faulty.requests[-1]
    assert (exchange.target, exchange.body) == (target, {**fields, "user": "me", "max_tokens_per_doc": 64})


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("scenario", GOOD)
async def test_its_scores_come_back_in_the_order_of_the_documents(
    faulty: FaultyUpstream, scenario: str, api: str
) -> None:
    outcome = await rank(faulty, scenario, api)

    assert isinstance(outcome, Answered)
    assert (outcome.result, outcome.extras.body) == (EXPECTED, {"space": "remote"})
    assert outcome.usage == (None if api == "tei" else Usage(7, 0))


@pytest.mark.parametrize("scenario", OF_RERANK)
async def test_the_words_of_each_provider_are_read(faulty: FaultyUpstream, scenario: str) -> None:
    outcome = await rank(faulty, scenario)

    assert isinstance(outcome, Answered)
    assert (outcome.result, outcome.usage) == (EXPECTED, Usage(7, 0))


@pytest.mark.parametrize("scenario", sorted(SCORES.keys() - {*GOOD, *OF_RERANK, "scores-too-long"}))
async def test_anything_else_is_a_failure_and_no_score(faulty: FaultyUpstream, scenario: str) -> None:
    for api in APIS:
        assert isinstance(await rank(faulty, scenario, api), Failed), api


@pytest.mark.parametrize("scenario", ["status-500", "closes", "cut-body", "vectors"])
async def test_the_faults_of_any_remote_are_its_faults_too(faulty: FaultyUpstream, scenario: str) -> None:
    assert isinstance(await rank(faulty, scenario), Failed)


async def test_several_queries_are_asked_of_one_that_takes_them_and_left_to_others_elsewhere(
    faulty: FaultyUpstream,
) -> None:
    taken = await score(faulty, "score", ["a", "b"], ["c", "d"])
    alike = await score(faulty, "tei", ["a", "a"], ["c", "d"])
    left = await score(faulty, "rerank", ["a", "b"], ["c", "d"])

    assert isinstance(taken, Answered)
    assert taken.result == [[score_of("a", "c")], [score_of("b", "d")]]
    assert isinstance(alike, Answered)
    assert alike.result == [[score_of("a", "c")], [score_of("a", "d")]]
    assert isinstance(left, Rejected)
    assert (left.field, left.elsewhere, len(faulty.requests)) == ("text_1", True, 2)


async def test_what_is_too_long_for_it_is_left_to_others_by_the_field_of_the_caller(faulty: FaultyUpstream) -> None:
    outcome = await rank(faulty, "scores-too-long", "tei")

    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.code, outcome.elsewhere) == ("documents", "context_length_exceeded", True)


async def test_vectors_are_not_asked_of_one_that_scores_nor_scores_of_one_that_makes_vectors(
    faulty: FaultyUpstream,
) -> None:
    asked = rerank_request(orjson.dumps({"query": QUERY, "documents": DOCUMENTS}), LIMITS)

    embedded = await call(faulty, "scores", read(input="one").request, task="text-ranking")
    scored = await call(faulty, "vectors", asked.request, task="feature-extraction")

    for outcome in (embedded, scored):
        assert isinstance(outcome, Rejected)
        assert outcome.field == "model"
    assert faulty.requests == []


async def test_a_response_beyond_its_bound_is_not_read(faulty: FaultyUpstream) -> None:
    asked = rerank_request(orjson.dumps({"query": QUERY, "documents": DOCUMENTS * 100}), LIMITS)

    outcome = await call(faulty, "scores", asked.request, task="text-ranking", max_answer_bytes=1024)

    assert "more than 1024 bytes" in outcome.reason
