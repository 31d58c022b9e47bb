"""Reranking and scores: what is read, and what is refused by its place, with what was sent and what is accepted."""

import pickle
from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.ranking import PAIRS, RerankRequest, pairs_in, rerank_request, score_request
from deployments.request.vector_body import MAX_INPUT_CHARACTERS, MAX_INPUTS
from tests.request.test_openai import LIMITS

ASKED: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b", "title": "not read"}]}
DOCUMENTS = f"a list of 1 to {MAX_INPUTS} texts, or of objects with `text`"
TEXT = f"a text of at most {MAX_INPUT_CHARACTERS} characters with something visible in it"
DOCUMENT = f"{TEXT}, or an object with such a `text`"


def rerank(headers: dict[str, str] | None = None, **body: Any) -> RerankRequest:
    return rerank_request(orjson.dumps({**ASKED, **body}), LIMITS, headers=headers or {})


def refused(read: Any, body: dict[str, Any]) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read(orjson.dumps(body), LIMITS)
    return caught.value.problem


def test_everything_that_is_asked_of_an_order_is_read() -> None:
    asked = rerank(
        {"x-neverblank-timeout": "5"}, model="m", top_n=9, return_documents=False, user="me", max_tokens_per_doc=64
    )

    request = asked.request
    assert (asked.documents, asked.top_n, asked.returns) == (("a", "b"), 2, False)
    assert request.inputs == {PAIRS: [["q", "a"], ["q", "b"]], "dimensions": 1}
    assert (request.model, request.user, request.timeout_s) == ("m", "me", 5.0)
    assert (request.vectors, request.vector_count) == (True, 2)
    assert request.passthrough == {"max_tokens_per_doc": 64}
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


@pytest.mark.parametrize("field", ["top_n", "return_documents", "user", "model"])
def test_a_field_that_is_null_counts_as_not_sent(field: str) -> None:
    assert rerank(**{field: None}) == rerank()


@pytest.mark.parametrize(
    "names", [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
)
def test_pairs_are_read_in_each_of_their_names(names: tuple[str, str]) -> None:
    request = score_request(orjson.dumps({names[0]: "q", names[1]: ["a", "b"]}), LIMITS)

    assert pairs_in(request.inputs) == [("q", "a"), ("q", "b")]


@pytest.mark.parametrize(
    ("body", "field", "told", "accepted"),
    [
        ({"documents": ["a"]}, "query", "is missing", TEXT),
        ({**ASKED, "query": " "}, "query", "is an empty text", TEXT),
        ({**ASKED, "documents": {}}, "documents", "is an object", DOCUMENTS),
        ({**ASKED, "documents": []}, "documents", "is an empty list", DOCUMENTS),
        ({**ASKED, "documents": ["a"] * 2049}, "documents", "has 2049 entries", DOCUMENTS),
        ({**ASKED, "documents": ["a", 3]}, "documents[1]", "is a number (entry 2 of 2)", DOCUMENT),
        ({**ASKED, "documents": ["a", {"text": None}]}, "documents[1].text", "is missing (entry 2 of 2)", TEXT),
        ({**ASKED, "documents": ["a", " ", "b"]}, "documents[1]", "is an empty text (entry 2 of 3)", TEXT),
        ({**ASKED, "top_n": 1.5}, "top_n", "is a number", "a whole number from 1 to 2147483648"),
    ],
)
def test_what_does_not_fit_an_order_is_refused_by_its_place(
    body: dict[str, Any], field: str, told: str, accepted: str
) -> None:
    problem = refused(rerank_request, body)

    assert (problem.field, problem.message, problem.accepted) == (field, told, accepted)


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({}, "text_1", "is missing"),
        ({"queries": "q"}, "documents", "is missing"),
        ({"data_2": "q"}, "data_1", "is missing"),
        ({"text_1": "q", "text_2": "a", "documents": ["b"]}, "documents", "is given beside text_1"),
        ({"text_1": ["q"], "text_2": ["a", ""]}, "text_2[1]", "is an empty text (entry 2 of 2)"),
        ({"text_1": ["q", "r"], "text_2": "a"}, "text_1", "has 2 texts, and text_2 has 1"),
    ],
)
def test_what_does_not_fit_scores_is_refused_by_its_place(body: dict[str, Any], field: str, told: str) -> None:
    problem = refused(score_request, body)

    assert (problem.field, problem.message) == (field, told)


@pytest.mark.parametrize("value", ["ab", ["ab"], [["a"]], [["a", 1]], [["a", "b", "c"]], {"a": "b"}])
def test_what_are_no_pairs_of_texts_asks_for_no_scores(value: Any) -> None:
    assert pairs_in({PAIRS: value}) == ()
