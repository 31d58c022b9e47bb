"""Reads what is asked of models that score pairs of texts (cross-encoders): reranking, and scores.

"query": "…", "documents": ["…", {"text": "…"}]     each document with the query: `POST /v1/rerank` (Jina, Cohere, vLLM)
"top_n": 3, "return_documents": false               the best ones alone; without their texts
"text_1": "…" or ["…"], "text_2": ["…", "…"]        one text with each of the others, or as many with as many in turn:
                                                    `POST /v1/score` (vLLM); also `queries` and `documents`

A score is a vector of one number: it is asked for, batched, checked and answered for within one space as vectors are.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.embeddings import MAX_INPUTS, check_text
from deployments.request.fields import kind, read_model, read_name, refuse
from deployments.request.inference import InferenceRequest
from deployments.request.passing import read_passed
from deployments.request.structs import read_struct

PAIRS = "pairs"
"""The field of the inputs of a model: a list of pairs of texts, for each of which a list of one number is wanted."""

_RERANK = frozenset({"model", "query", "documents", "top_n", "return_documents", "user"})
_SCORED = (("text_1", "text_2"), ("queries", "documents"))
_SCORE = frozenset({"model", "user", *(name for names in _SCORED for name in names)})
_DOCUMENTS = f"a list of 1 to {MAX_INPUTS} texts, or of objects with `text`"
_TEXTS = f"a text, or a list of 1 to {MAX_INPUTS} texts"


class _Wanted(Struct, frozen=True):
    """What is wanted of an order of documents."""

    top_n: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    return_documents: bool = True


class RerankRequest(Struct, frozen=True):
    """A request for an order of documents.

    Attributes:
        request: the request.
        documents: their texts.
        top_n: how many of them are wanted.
        returns: their texts are wanted.
    """

    request: InferenceRequest
    documents: tuple[str, ...]
    top_n: int
    returns: bool


def rerank_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> RerankRequest:
    """Read the body of `POST /v1/rerank`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    query, given = _checked(data.get("query"), "query", ""), data.get("documents")
    if not isinstance(given, list) or not given:
        raise refuse("documents", given, _DOCUMENTS)
    documents = _texts([each.get("text") if isinstance(each, Mapping) else each for each in given], "documents")
    asked = read_struct(data, _Wanted)
    top_n = len(documents) if asked.top_n is None else min(asked.top_n, len(documents))
    request = _request(data, [(query, document) for document in documents], _RERANK, limits, headers)
    return RerankRequest(request, documents, top_n, asked.return_documents)


def score_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> InferenceRequest:
    """Read the body of `POST /v1/score`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    names = next((names for names in _SCORED if names[0] in data), _SCORED[0])
    first, second = (_read_texts(data.get(name), name) for name in names)
    if len(first) not in {1, len(second)}:
        told = f"has {len(first)} texts, and {names[1]} has {len(second)}"
        raise InvalidRequestError(Problem(names[0], told, f"one text, or as many as {names[1]}"))
    first = first * len(second) if len(first) == 1 else first
    return _request(data, list(zip(first, second, strict=True)), _SCORE, limits, headers)


def pairs_in(inputs: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the pairs in the inputs of a request; none where it asks for something else."""
    value = inputs.get(PAIRS)
    return [(pair[0], pair[1]) for pair in value] if isinstance(value, (list, tuple)) else ()


def _request(
    data: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    known: frozenset[str],
    limits: Limits,
    headers: Mapping[str, str],
) -> InferenceRequest:
    passed = read_passed(data, CONTROL_KEYS | known, frozenset())
    request = InferenceRequest(
        inputs={PAIRS: [list(pair) for pair in pairs], "dimensions": 1},
        text="",
        messages=(),
        model=read_model(data.get("model")),
        timeout_s=limits.timeout_s,
        user=read_name(data, "user"),
        passthrough=passed.fields,
        features=passed.features,
        max_tokens_default=limits.max_tokens,
        vectors=True,
        vector_count=len(pairs),
    )
    return with_controls(request, data, headers, limits)


def _read_texts(value: Any, field: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_checked(value, field, ""),)
    if not isinstance(value, list) or not value:
        raise refuse(field, value, _TEXTS)
    return _texts(value, field)


def _texts(values: Sequence[Any], field: str) -> tuple[str, ...]:
    if len(values) > MAX_INPUTS:
        raise InvalidRequestError(Problem(field, f"has {len(values)} entries", f"at most {MAX_INPUTS}"))
    told = ((place, f" (entry {place + 1} of {len(values)})") for place in range(len(values)))
    return tuple(_checked(values[place], f"{field}[{place}]", where) for place, where in told)


def _checked(text: Any, field: str, where: str) -> str:
    if not isinstance(text, str):
        raise InvalidRequestError(Problem(field, f"is {kind(text)}{where}", "a text"))
    check_text(text, field, where)
    return text
