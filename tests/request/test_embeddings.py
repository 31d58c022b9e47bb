"""OpenAI's embeddings: what is read, and what is refused by its place."""

import pickle
from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.embeddings import EmbeddingsRequest, embeddings_request
from deployments.request.vector_body import MAX_INPUT_CHARACTERS, MAX_INPUTS
from tests.request.test_openai import LIMITS


def read(headers: dict[str, str] | None = None, **body: Any) -> EmbeddingsRequest:
    return embeddings_request(orjson.dumps({"input": "Hi", **body}), LIMITS, headers=headers or {})


def refused(**body: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read(**body)
    return caught.value.problem


@pytest.mark.parametrize(
    ("value", "count"), [("a", 1), (["a"], 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a", [1]], 2)]
)
def test_as_many_vectors_are_wanted_as_there_are_texts(value: Any, count: int) -> None:
    request = read(input=value).request

    assert (request.inputs, request.vectors, request.vector_count) == ({"input": value}, True, count)


def test_everything_that_is_asked_is_read() -> None:
    asked = read(
        {"x-neverblank-timeout": "5"}, model="m", dimensions=2, encoding_format="base64", user="me", input_type="query"
    )

    request = asked.request
    assert (asked.base64, request.model, request.user, request.timeout_s) == (True, "m", "me", 5.0)
    assert request.inputs == {"input": "Hi", "dimensions": 2}
    assert (request.passthrough, [feature.name for feature in request.features]) == (
        {"input_type": "query"},
        ["input_type"],
    )
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"input": None}, "input", "is missing"),
        ({"input": {}}, "input", "is an object"),
        ({"input": []}, "input", "is an empty list"),
        ({"input": " "}, "input", "is an empty text"),
        ({"input": ["a", "b", "", "d", "e"]}, "input[2]", "is an empty text (entry 3 of 5)"),
        ({"input": ["a", None]}, "input[1]", "is missing (entry 2 of 2)"),
        ({"input": ["a", []]}, "input[1]", "is an empty list (entry 2 of 2)"),
        ({"input": [[1], [2, -1]]}, "input[1][1]", "is out of range (entry 2 of 2)"),
        ({"input": [1, "a"]}, "input", "holds what is no token id"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "input", f"has {MAX_INPUTS + 1} entries"),
        ({"input": "a" * (MAX_INPUT_CHARACTERS + 1)}, "input", f"has {MAX_INPUT_CHARACTERS + 1} characters"),
        ({"encoding_format": "hex"}, "encoding_format", "is none that is known here"),
        ({"encoding_format": 5}, "encoding_format", "is a number"),
        ({"dimensions": 0}, "dimensions", "is out of range"),
        ({"dimensions": "2"}, "dimensions", "is a text"),
        ({"user": 5}, "user", "is a number"),
    ],
)
def test_what_no_vector_can_be_made_of_is_refused_by_its_place_and_the_count(
    body: dict[str, Any], field: str, told: str
) -> None:
    problem = refused(**body) if len(str(body)) < LIMITS.max_bytes else refused_of_any_size(**body)

    assert (problem.field, problem.message) == (field, told)


def refused_of_any_size(**body: Any) -> Problem:
    limits = type(LIMITS)(max_bytes=1 << 30, timeout_s=30.0, max_timeout_s=300.0)
    with pytest.raises(InvalidRequestError) as caught:
        embeddings_request(orjson.dumps(body), limits)
    return caught.value.problem
