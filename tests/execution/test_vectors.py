"""An answer of vectors is those that were asked for, or a failure."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.execution.vectors import conform_to_vectors, from_little_endian, little_endian
from deployments.policy.outcome import Answered, Failed
from deployments.request.native import from_python
from tests.fakes import a_request
from tests.request.test_embeddings import read
from tests.request.test_openai import LIMITS


async def checked(result: Any, **body: Any) -> Any:
    conform = conform_to_vectors(read(**body).request)
    assert conform is not None
    return await conform(Answered(result))


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ({}, [0.5, 1]),
        ({}, [[0.5, 1]]),
        ({"input": ["a", "b"]}, [[0.5], [1.0]]),
        ({"dimensions": 2}, [0.5, 1.0]),
        ({"input": ["a"] * 40}, [[0.5] * 2048] * 40),
    ],
)
async def test_vectors_as_they_were_asked_for_are_an_answer(body: dict[str, Any], result: Any) -> None:
    assert await checked(result, **body) == Answered(result)


@pytest.mark.parametrize(
    ("body", "result", "told"),
    [
        ({}, "a text", "no list of vectors"),
        ({}, {"vector": [1.0]}, "no list of vectors"),
        ({}, [[1.0], [2.0]], "gave 2 vectors, and 1 were asked for"),
        ({"input": ["a", "b"]}, [1.0, 2.0], "gave 1 vectors, and 2 were asked for"),
        ({"input": ["a", "b"]}, [[1.0], [1.0, 2.0]], "1 to 2 dimensions"),
        ({"input": ["a", "b"]}, [[1.0], []], "0 to 1 dimensions"),
        ({"input": ["a", "b"]}, [[1.0], "b"], "more than vectors"),
        ({"dimensions": 2}, [1.0, 2.0, 3.0], "3 dimensions, and 2 were asked for"),
        ({}, [1.0, None], "more than numbers"),
        ({}, [1.0, "2"], "more than numbers"),
        ({}, [1.0, 1e300], "NaN or an infinity"),
        ({"input": ["a"] * 40}, [*([[0.5] * 2048] * 39), [0.5]], "1 to 2048 dimensions"),
    ],
)
async def test_anything_else_is_a_failure(body: dict[str, Any], result: Any, told: str) -> None:
    outcome = await checked(result, **body)

    assert isinstance(outcome, Failed)
    assert told in outcome.reason
    assert outcome.misfit is ("dimensions" in body)  # which says nothing about the health of the model


def test_a_request_that_does_not_say_how_many_vectors_it_wants_takes_any() -> None:
    native = from_python({"input": ["a"], "task": "feature-extraction"}, LIMITS)

    assert [conform_to_vectors(request) for request in (native, a_request())] == [None, None]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_vector_as_bytes_is_that_vector_in_little_endian_float32(vector: list[float]) -> None:
    written = little_endian(vector)

    assert written == struct.pack(f"<{len(vector)}f", *vector)
    assert from_little_endian(written) == vector
