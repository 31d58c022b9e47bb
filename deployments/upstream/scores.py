"""Scores of pairs of texts, as remote models that rerank speak them: bodies of requests, and of answers.

`ranking_api`     who speaks it                      a request                              an answer
rerank            Jina, Cohere, Voyage, vLLM, …      POST rerank   `query`, `documents`     `results` (Voyage: `data`)
tei               Text Embeddings Inference          POST rerank   `query`, `texts`         a bare list
score             vLLM                               POST score    `text_1`, `text_2`       `data`

All documents are asked about, and no text is asked back: `top_n` and `return_documents` are acted on here, where both
have many names (`top_k`, `return_text`), and an answer that is cut could not be told from one that lacks some.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.policy.extras import Extras, fields_beside
from deployments.policy.outcome import Answered, Failed, Rejected, Usage
from deployments.policy.problem import UNSUPPORTED
from deployments.request import InferenceRequest
from deployments.request.ranking import pairs_in
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.contents import read_usage_of_input

RERANK, SCORE = "rerank", "score"
"""Their paths below a base URL."""

_LISTS = ("results", "data")
_SCORES = ("relevance_score", "score")
_TOLD_ELSEWHERE = frozenset({"object", "results", "data", "model", "usage", "id", "created"})


def to_scores_body(request: InferenceRequest, spec: RemoteSpec) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of the `POST` for `request`, which `refuse_scores` has let pass.

    Fields that are only passed on go beside what is set here.
    """
    pairs = pairs_in(request.inputs)
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    body = {**request.passthrough, "model": spec.model} | ({"user": request.user} if request.user else {})
    match spec.ranking_api:
        case "rerank":
            return RERANK, {**body, "query": first[0], "documents": second}
        case "tei":
            return RERANK, {**body, "query": first[0], "texts": second}
        case "score":
            return SCORE, {**body, "text_1": first if _are_several(first) else first[0], "text_2": second}


def refuse_scores(request: InferenceRequest, spec: RemoteSpec) -> Rejected | None:
    """Return why the model of `spec` is not asked for what `request` wants; `None` where it is."""
    pairs = pairs_in(request.inputs)
    if spec.task != "text-ranking":
        told = "makes vectors, and scores no pairs; accepted: a model of the task text-ranking"
        return Rejected(f"model {told}", "model") if pairs else None
    if not pairs:
        return Rejected("model scores pairs of texts; accepted: POST /v1/rerank or /v1/score", "model")
    if spec.ranking_api != "score" and _are_several([pair[0] for pair in pairs]):
        told = "text_1 has several texts, and it is asked about one at a time; accepted: one, or ranking_api: score"
        return Rejected(told, "text_1", UNSUPPORTED, elsewhere=True)
    return None


def read_scores(value: Any, request: InferenceRequest, space: str) -> Answered | Failed:
    """Return the scores in the decoded body of a response, as vectors of one number, in the order of the pairs.

    Args:
        value: the body.
        request: what was asked.
        space: the space of the model.
    """
    wanted = len(pairs_in(request.inputs))
    about = value if isinstance(value, Mapping) else {}
    items = value if isinstance(value, list) else next((about[name] for name in _LISTS if about.get(name)), None)
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return Failed("its response has no list of scores (results, or data)")
    if len(items) != wanted:
        return Failed(f"it gave {len(items)} scores, and {wanted} were asked for")
    scores: dict[int, float] = {}
    for item in items:
        place, score = item.get("index"), _to_score(next((item[name] for name in _SCORES if name in item), None))
        if type(place) is not int or not 0 <= place < wanted or place in scores:
            return Failed("it gave scores whose places cannot be told")
        if not math.isfinite(score):
            return Failed("it gave a score that is no finite number")
        scores[place] = score
    extras = Extras(body={**fields_beside(about, _TOLD_ELSEWHERE), "space": space})
    return Answered([[scores[place]] for place in range(wanted)], _usage(about), extras=extras)


def has_vectors(value: Any) -> bool:
    """Return whether the decoded body of a response has vectors, or scores, whatever it says beside them."""
    return isinstance(value, Mapping) and any(value.get(name) for name in _LISTS)


def is_asked_in_other_words(spec: RemoteSpec) -> bool:
    """Return whether the words of requests for scores are not those that the model of `spec` is asked in."""
    return spec.task == "text-ranking" and spec.ranking_api != "rerank"


def field_of(request: InferenceRequest) -> str:
    """Return the field in which `request` has its texts."""
    if not request.vectors:
        return "messages"
    return "documents" if pairs_in(request.inputs) else "input"


def _are_several(texts: Sequence[str]) -> bool:
    return any(text != texts[0] for text in texts)


def _to_score(value: Any) -> float:
    """Return a score; NaN where it is no number that a float could be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.nan


def _usage(about: Mapping[str, Any]) -> Usage | None:
    """Return the count of tokens that were read: Cohere has it in its `meta`."""
    meta = about.get("meta")
    return read_usage_of_input(about.get("usage") or (meta.get("tokens") if isinstance(meta, Mapping) else None))
