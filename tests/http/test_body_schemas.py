"""The description of requests: made from the structs that read them, for programs and for people."""

import itertools
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from deployments.http.body_schemas import FORMS, body_schemas
from deployments.http.pages import openapi
from deployments.http.reference import with_tables
from deployments.policy.problem import InvalidRequestError
from deployments.request.embeddings import embeddings_request
from deployments.request.native import from_body
from deployments.request.openai import chat_request, completion_request
from deployments.request.ranking import rerank_request, score_request
from tests.http.wire import CHAT
from tests.request.test_openai import LIMITS

API = Path(__file__).parents[2] / "docs" / "api.md"
READERS: dict[str, Any] = {
    "InferRequest": (from_body, {"text": "Hi"}),
    "ChatRequest": (chat_request, CHAT),
    "CompletionRequest": (completion_request, {"prompt": "Hi"}),
    "EmbeddingsRequest": (embeddings_request, {"input": "Hi"}),
    "RerankRequest": (rerank_request, {"query": "Hi", "documents": ["Hi", {"text": "Hi"}]}),
    "ScoreRequest": (score_request, {"text_1": "Hi", "text_2": ["Hi"]}),
}


def test_every_body_in_the_description_is_one_that_a_struct_reads() -> None:
    asked = [
        body["content"]["application/json"]["schema"].get("$ref", "").rsplit("/", 1)[-1]
        for path in openapi()["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and (body := operation.get("requestBody"))
    ]

    assert {form.name for form in FORMS} <= set(asked)


def test_each_field_of_the_description_says_what_it_does_and_what_it_accepts() -> None:
    for form in FORMS:
        for name, told in body_schemas()[form.name]["properties"].items():
            assert told["description"], name
            assert told["x-accepted"], name


def test_no_two_things_of_the_description_have_one_name() -> None:
    document = openapi()["components"]["schemas"]

    for name, schema in body_schemas().items():
        assert document[name] == schema


FIELDS = [
    ("temperature", 0.5, 3),
    ("max_tokens", 5, 0),
    ("stop", "a", ["a", ""]),
    ("logit_bias", {"5": 1}, {"x": 1}),
    ("stop_token_ids", [1], [-1]),
    ("stream", True, "yes"),
    ("model", "m", ""),
    ("tiers", ["backup"], ["moon"]),
    ("timeout", 5, 0),
    ("hedge", False, "no"),
]
"""Fields, with a value that fits and one that does not."""


@pytest.mark.parametrize(
    ("name", "field", "fits", "does_not"),
    [
        (name, *field)
        for name, field in itertools.product(READERS, FIELDS)
        if field[0] in body_schemas()[name]["properties"]
    ],
)
def test_the_description_accepts_what_the_reader_accepts(name: str, field: str, fits: Any, does_not: Any) -> None:
    schema = {**body_schemas()[name], "components": {"schemas": body_schemas()}}
    read, least = READERS[name]
    assert jsonschema_rs.is_valid(schema, {**least, field: fits})
    assert not jsonschema_rs.is_valid(schema, {**least, field: does_not})
    assert read(orjson.dumps({**least, field: fits}), LIMITS)
    with pytest.raises(InvalidRequestError) as caught:
        read(orjson.dumps({**least, field: does_not}), LIMITS)
    assert caught.value.problem.field.startswith(field)


def test_the_tables_of_the_document_are_those_of_the_structs() -> None:
    document = API.read_text(encoding="utf-8")

    assert with_tables(document) == document
    assert with_tables(document.replace("| `top_k` |", "| `top_q` |")) == document
