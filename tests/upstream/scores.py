"""Remote models that score pairs, and what goes wrong with them: scenarios by the field `model`.

Each speaks as it is asked: Jina's words, or those of Text Embeddings Inference (`texts`), or vLLM's scores (`text_1`).
"""

import json
from collections.abc import Sequence
from typing import Any

from tests.upstream.exchange import Exchange
from tests.upstream.scenarios import Scenario

Items = list[dict[str, Any]]


def score_of(query: str, document: str) -> float:
    """The score of a pair: a number that float32 has exactly, of these texts alone."""
    return (sum(map(ord, document)) - len(query)) / 64


def items_of(exchange: Exchange) -> Items:
    """What a healthy model says: best first where documents are put in order."""
    body = exchange.body
    if "text_1" in body:
        first = body["text_1"] if isinstance(body["text_1"], list) else [body["text_1"]] * len(body["text_2"])
        pairs = zip(first, body["text_2"], strict=True)
        return [{"index": place, "object": "score", "score": score_of(*pair)} for place, pair in enumerate(pairs)]
    name, documents = ("score", body["texts"]) if "texts" in body else ("relevance_score", body["documents"])
    items: Items = [{"index": place, name: score_of(body["query"], text)} for place, text in enumerate(documents)]
    return sorted(items, key=lambda item: -item[name])


async def give(exchange: Exchange, items: Any, **more: Any) -> None:
    if "texts" in exchange.body:
        await exchange.whole(json.dumps(items).encode())
        return
    key = "data" if "text_1" in exchange.body else "results"
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    await exchange.whole(json.dumps({"id": "r", "model": "m", key: items, "usage": usage, **more}).encode())


def gives(change: Any) -> Scenario:
    """A remote whose items are those of a healthy one, changed."""

    async def play(exchange: Exchange) -> None:
        await give(exchange, change(items_of(exchange)))

    return play


def scored(items: Items, score: Any) -> Items:
    """The items with another score in the place of the first one's."""
    name = "score" if "score" in items[0] else "relevance_score"
    return [{**items[0], name: score}, *items[1:]]


def _moved(items: Items) -> Items:
    return [{**item, "index": item["index"] + 1} for item in items]


async def _as_voyage(exchange: Exchange) -> None:
    body = {"object": "list", "data": items_of(exchange), "model": "m", "usage": {"total_tokens": 7}}
    await exchange.whole(json.dumps(body).encode())


async def _as_cohere(exchange: Exchange) -> None:
    meta = {"api_version": {"version": "2"}, "tokens": {"input_tokens": 7, "output_tokens": 0}}
    await exchange.whole(json.dumps({"id": "r", "results": items_of(exchange), "meta": meta}).encode())


async def _as_jina(exchange: Exchange) -> None:
    """With the documents, as a text or as an object: Jina's and vLLM's servers give them unasked."""
    documents = exchange.body["documents"]
    items = [{**item, "document": {"text": documents[item["index"]]}} for item in items_of(exchange)]
    await give(exchange, [{**items[0], "document": "a text"}, *items[1:]], usage={"total_tokens": 7})


async def _errs_within_a_success(exchange: Exchange) -> None:
    await exchange.whole(b'{"error": {"message": "The server is overloaded.", "type": "server_error", "code": "503"}}')


async def _too_long(exchange: Exchange) -> None:
    """As Text Embeddings Inference says it."""
    told = "Input validation error: `inputs` must have less than 512 tokens. Given: 600"
    await exchange.whole(json.dumps({"error": told, "error_type": "Validation"}).encode(), 413)


def _takes_no(field: str) -> Scenario:
    async def play(exchange: Exchange) -> None:
        if field in exchange.body:
            await exchange.error(400, f"unknown field {field}", param=field)
            return
        await give(exchange, items_of(exchange))

    return play


def _without(name: str) -> Any:
    return lambda items: [{key: value for key, value in item.items() if key != name} for item in items]


def _reversed(items: Sequence[Any]) -> Sequence[Any]:
    return items[::-1]


SCORES: dict[str, Scenario] = {
    "scores": gives(lambda items: items),
    "scores-unsorted": gives(_reversed),
    "scores-voyage": _as_voyage,
    "scores-cohere": _as_cohere,
    "scores-jina": _as_jina,
    "scores-no-top-n": _takes_no("top_n"),
    "scores-no-return-documents": _takes_no("return_documents"),
    "scores-too-long": _too_long,
    "scores-one-too-few": gives(lambda items: items[1:]),
    "scores-one-too-many": gives(lambda items: [*items, {**items[0], "index": len(items)}]),
    "scores-empty": gives(lambda _: []),
    "scores-no-list": gives(lambda _: {"a": 1}),
    "scores-of-texts": gives(lambda items: [str(item) for item in items]),
    "scores-wrong-index": gives(_moved),
    "scores-negative-index": gives(lambda items: [{**item, "index": item["index"] - 1} for item in items]),
    "scores-twice-in-one-place": gives(lambda items: [{**item, "index": 0} for item in items]),
    "scores-without-places": gives(_without("index")),
    "scores-nan": gives(lambda items: scored(items, float("nan"))),
    "scores-infinite": gives(lambda items: scored(items, float("inf"))),
    "scores-beyond-floats": gives(lambda items: scored(items, 10**400)),
    "scores-null": gives(lambda items: scored(items, None)),
    "scores-as-text": gives(lambda items: scored(items, "0.5")),
    "scores-true": gives(lambda items: scored(items, True)),
    "scores-error-in-200": _errs_within_a_success,
}
