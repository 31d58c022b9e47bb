"""Reads what is asked of models that score pairs of texts (cross-encoders): reranking, and scores.

"query": "…", "documents": ["…", {"text": "…"}]     each document with the query: `POST /v1/rerank` (Jina, Cohere, vLLM)
"top_n": 3, "return_documents": false               the best ones alone; without their texts
"text_1": "…" or ["…"], "text_2": ["…", "…"]        one text with each of the others, or as many with as many in turn:
                                                    `POST /v1/score` (vLLM), which has other names for the two, too

A score is a vector of one number: it is asked for, batched, checked and answered for within one space as vectors are.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.body_form import BodyForm
from deployments.request.controls import NO_HEADERS
from deployments.request.entries import counting_entries
from deployments.request.inference import InferenceRequest
from deployments.request.structs import does, read_struct
from deployments.request.vector_body import MAX_INPUT_CHARACTERS, MAX_INPUTS, VectorsBody, vector_request

PAIRS = "pairs"
"""The field of the inputs of a model: a list of pairs of texts, for each of which a list of one number is wanted."""

RANKING_TASK = "text-ranking"
"""The task of models that score pairs."""

_SCORED = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
"""The names that the two sides of pairs may have, as vLLM has them."""

_A_TEXT = f"a text of at most {MAX_INPUT_CHARACTERS} characters with something visible in it"
_DOCUMENT = f"{_A_TEXT}, or an object with such a `text`"
_DOCUMENTS = f"a list of 1 to {MAX_INPUTS} texts, or of objects with `text`"
_TEXTS = f"a text, or a list of 1 to {MAX_INPUTS} texts"

_Text = Annotated[str, Meta(min_length=1, max_length=MAX_INPUT_CHARACTERS, extra={"accepted": _A_TEXT})]
_Texts = _Text | Annotated[list[_Text], Meta(min_length=1, max_length=MAX_INPUTS)]
_Side = Annotated[_Texts | None, Meta(extra={"accepted": _TEXTS})]


class TextDocument(Struct, frozen=True):
    """A document as an object. Other fields of it are not read."""

    text: Annotated[_Text, does("Its text.")]


_Document = Annotated[_Text | TextDocument, Meta(extra={"accepted": _DOCUMENT})]
_Documents = Annotated[list[_Document], Meta(min_length=1, max_length=MAX_INPUTS)]


class RerankBody(VectorsBody, frozen=True, kw_only=True):
    """The fields of `POST /v1/rerank`."""

    query: Annotated[_Text, does("What the documents are to answer.")]
    documents: Annotated[_Documents, does("What is to be put in order.", accepted=_DOCUMENTS)]
    top_n: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 31)] | None, does("So many of the best; without it all of them.")
    ] = None
    return_documents: Annotated[bool, does("The texts of the documents are told, too.")] = True


class ScoreBody(VectorsBody, frozen=True, kw_only=True):
    """The fields of `POST /v1/score`: the two sides of the pairs, in one of their names."""

    text_1: Annotated[_Side, does("One text, which goes with each of `text_2`, or as many as those.")] = None
    text_2: Annotated[_Side, does("One text, or several.")] = None
    queries: Annotated[_Side, does("Another name of `text_1`.")] = None
    documents: Annotated[_Side, does("Beside `queries`, another name of `text_2`.")] = None
    items: Annotated[_Side, does("The same.")] = None
    data_1: Annotated[_Side, does("Another name of `text_1`.")] = None
    data_2: Annotated[_Side, does("Beside `data_1`, another name of `text_2`.")] = None


RERANK_FORM = BodyForm("RerankRequest", RerankBody)
SCORE_FORM = BodyForm("ScoreRequest", ScoreBody)


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


@counting_entries
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
    asked = read_struct(data, RerankBody)
    _refuse_blank(asked.query, "query")
    documents = tuple(each.text if isinstance(each, TextDocument) else each for each in asked.documents)
    _refuse_blank(documents, "documents")
    top_n = len(documents) if asked.top_n is None else min(asked.top_n, len(documents))
    request = _request(data, asked, RERANK_FORM, [asked.query] * len(documents), documents, limits, headers)
    return RerankRequest(request, documents, top_n, asked.return_documents)


@counting_entries
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
    asked = read_struct(data, ScoreBody)
    names = _sides(asked)
    first, second = (_listed(getattr(asked, name), name) for name in names)
    if len(first) not in {1, len(second)}:
        told = f"has {len(first)} texts, and {names[1]} has {len(second)}"
        raise InvalidRequestError(Problem(names[0], told, f"one text, or as many as {names[1]}"))
    first = [*first] * len(second) if len(first) == 1 else first
    return _request(data, asked, SCORE_FORM, first, second, limits, headers)


def pairs_in(inputs: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the pairs in the inputs of a request; none where it asks for something else, or for more than pairs."""
    value = inputs.get(PAIRS)
    if not isinstance(value, list | tuple) or not all(map(_is_pair, value)):
        return ()
    return [(first, second) for first, second in value]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(each, str) for each in value)  # noqa: PLR2004 - a pair


def _request(
    data: Mapping[str, Any],
    asked: VectorsBody,
    form: BodyForm,
    first: Sequence[str],
    second: Sequence[str],
    limits: Limits,
    headers: Mapping[str, str],
) -> InferenceRequest:
    pairs = [[query, document] for query, document in zip(first, second, strict=True)]
    inputs = {PAIRS: pairs, "dimensions": 1}
    return vector_request(data, asked, form=form, inputs=inputs, count=len(pairs), limits=limits, headers=headers)


def _sides(asked: ScoreBody) -> tuple[str, str]:
    """Return the names in which both sides of the pairs are given.

    Raises:
        InvalidRequestError: one is missing, or they are given in more names than two.
    """
    given = [name for name in dict.fromkeys(name for names in _SCORED for name in names) if getattr(asked, name)]
    names = next((names for names in _SCORED if set(given) <= {*names}), None)
    if names is None:
        problem = Problem(given[-1], f"is given beside {given[0]}", "text_1 and text_2, in one of their names")
        raise InvalidRequestError(problem)
    for name in names:
        if name not in given:
            raise InvalidRequestError(Problem(name, "is missing", _TEXTS))
    return names


def _listed(texts: str | Sequence[str], field: str) -> Sequence[str]:
    _refuse_blank(texts, field)
    return [texts] if isinstance(texts, str) else texts


def _refuse_blank(texts: str | Sequence[str], field: str) -> None:
    if isinstance(texts, str):
        if is_blank(texts):
            raise InvalidRequestError(Problem(field, "is an empty text", _A_TEXT))
        return
    for place, text in enumerate(texts):
        if is_blank(text):
            told = f"is an empty text (entry {place + 1} of {len(texts)})"
            raise InvalidRequestError(Problem(f"{field}[{place}]", told, _A_TEXT))
