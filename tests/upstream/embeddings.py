"""Remote models of vectors, and what goes wrong with them: scenarios of `POST /v1/embeddings`, by the field `model`."""

import json
import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from tests.upstream.exchange import Exchange
from tests.upstream.scenarios import Scenario

DIMENSIONS = 4


def vector_of(text: Any) -> list[float]:
    """The vector of a text, or of token ids: numbers that float32 has exactly, of this text alone."""
    told = text if isinstance(text, str) else "".join(map(chr, text))
    return [len(told) / 4, *(sum(map(ord, told[place::3])) / 8 for place in range(DIMENSIONS - 1))]


def texts_of(exchange: Exchange) -> list[Any]:
    given = exchange.body["input"]
    return given if isinstance(given, list) and not isinstance(given[0], int) else [given]


def data_of(exchange: Exchange) -> list[dict[str, Any]]:
    vectors = [vector_of(text) for text in texts_of(exchange)]
    return [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]


async def give(exchange: Exchange, data: Any, **more: Any) -> None:
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    await exchange.whole(json.dumps({"object": "list", "data": data, "model": "m", "usage": usage, **more}).encode())


def gives(change: Any) -> Scenario:
    """A remote whose items are those of a healthy one, changed."""

    async def play(exchange: Exchange) -> None:
        await give(exchange, change(data_of(exchange)))

    return play


def each(**changed: Any) -> Any:
    return lambda data: [{**item, **changed} for item in data]


def _base64(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**item, "embedding": b64encode(struct.pack("<4f", *item["embedding"])).decode()} for item in data]


async def _refuses_encodings(exchange: Exchange) -> None:
    if "encoding_format" in exchange.body:
        await exchange.error(400, "bedrock does not support parameters: encoding_format")
        return
    await give(exchange, data_of(exchange))


async def _refuses_dimensions(exchange: Exchange) -> None:
    await exchange.error(400, 'Model "m" does not support matryoshka representation.', param="dimensions")


async def _errs_within_a_success(exchange: Exchange) -> None:
    error = {"message": "The server is overloaded.", "type": "server_error", "code": "503"}
    await exchange.whole(json.dumps({"error": error}).encode())


VECTORS: dict[str, Scenario] = {
    "vectors": gives(lambda data: data),
    "vectors-base64": gives(_base64),
    "vectors-backwards": gives(lambda data: data[::-1]),
    "vectors-without-places": gives(lambda data: [{"embedding": item["embedding"]} for item in data]),
    "vectors-no-encodings": _refuses_encodings,
    "vectors-no-dimensions": _refuses_dimensions,
    "vectors-one-too-few": gives(lambda data: data[1:]),
    "vectors-none": gives(lambda _: []),
    "vectors-null": gives(lambda _: None),
    "vectors-twice-in-one-place": gives(each(index=0)),
    "vectors-uneven": gives(lambda data: [*data[1:], {**data[0], "embedding": [1.0]}]),
    "vectors-with-a-hole": gives(each(embedding=[0.5, None, 0.5, 0.5])),
    "vectors-nan": gives(lambda data: [{**item, "embedding": [0.5, float("nan")]} for item in data]),
    "vectors-cut-base64": gives(each(embedding="AAA=")),
    "vectors-no-base64": gives(each(embedding="?!")),
    "vectors-error-in-200": _errs_within_a_success,
}
