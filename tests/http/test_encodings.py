"""Bodies that are compressed, or begin with a byte order mark: read as any other, and held to the same limit."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest

from deployments.request.body import Limits
from deployments.request.compression import PIECE, Inflater
from tests.http.service import ScriptedService
from tests.http.wire import CHAT, send

BODY = json.dumps({"text": "Hi"}).encode()
LIMIT = ScriptedService().limits.max_bytes


def bare(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        (" GZIP ", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare),
        ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_a_body_that_is_compressed_is_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    service = ScriptedService()

    response = await send(service, "/v1/infer", content=compress(BODY), headers={"content-encoding": encoding})

    assert (response.status_code, service.asked[0].text) == (200, "Hi")


@pytest.mark.parametrize("path", ["/v1/infer", "/v1/chat/completions", "/v1/embeddings", "/tokenize"])
@pytest.mark.parametrize("full", [False, True])
async def test_an_encoding_that_is_not_known_is_named_with_those_that_are(path: str, *, full: bool) -> None:
    headers = {"content-encoding": "br"}

    response = await send(ScriptedService(is_full=full), path, content=BODY, headers=headers)

    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert "content-encoding is br" in response.text
    assert "gzip, deflate" in response.json()["error"].get("accepted", response.text)


@pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT])
async def test_a_body_that_is_too_large_once_it_is_inflated_is_refused(size: int) -> None:
    headers = {"content-encoding": "gzip"}

    response = await send(ScriptedService(), "/v1/infer", content=gzip.compress(b" " * size), headers=headers)

    assert (response.status_code, str(LIMIT) in response.text) == (413, True)


async def test_a_body_of_exactly_the_limit_is_read_whatever_it_was_compressed_to() -> None:
    body = BODY + b" " * (LIMIT - len(BODY))

    response = await send(
        ScriptedService(), "/v1/infer", content=gzip.compress(body), headers={"content-encoding": "gzip"}
    )

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{}", "is no gzip"),
        (b"", "is gzip that is cut off"),
        (gzip.compress(BODY)[:-4], "is gzip that is cut off"),
        (gzip.compress(BODY)[:-1] + b"?", "is no gzip"),
        (gzip.compress(BODY) + b"behind it", "is no gzip"),
        (gzip.compress(b"") * 100, "parts of gzip"),
    ],
    ids=["plain", "empty", "cut", "wrong sum", "more behind it", "many parts"],  # gzip writes the time into its head
)
async def test_a_body_that_is_damaged_is_the_callers(body: bytes, told: str) -> None:
    response = await send(ScriptedService(), "/v1/infer", content=body, headers={"content-encoding": "gzip"})

    assert (response.status_code, told in response.text) == (400, True)


async def test_what_a_request_asks_for_is_seen_in_a_compressed_body_too_when_it_is_turned_away() -> None:
    body = gzip.compress(json.dumps({**CHAT, "stream": True}).encode())

    response = await send(
        ScriptedService(is_full=True), "/v1/chat/completions", content=body, headers={"content-encoding": "gzip"}
    )

    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("padding", [0, 9 << 16])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_that_is_turned_away_is_seen_to_its_end_and_never_held_whole(
    encoding: str, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
    seen: list[int] = []
    feed = Inflater.feed

    def counting(inflater: Inflater, data: bytes) -> Iterator[bytes]:
        for piece in feed(inflater, data):
            seen.append(len(piece))
            yield piece

    monkeypatch.setattr(ScriptedService, "limits", property(lambda _: limits))
    monkeypatch.setattr(Inflater, "feed", counting)
    body = json.dumps({"padding": " " * padding, **CHAT, "stream": True}).encode()
    sent = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

    response = await send(
        ScriptedService(is_full=True), "/v1/chat/completions", content=sent, headers={"content-encoding": encoding}
    )

    assert response.headers["content-type"].startswith("text/event-stream")
    assert (sum(seen), max(seen) <= PIECE) == (len(body), True)


@pytest.mark.parametrize(
    ("body", "status"),
    [(gzip.compress(b" " * (LIMIT + 1)), 413), (b"{}", 400), (gzip.compress(BODY)[:-4], 400)],
    ids=["too large", "not compressed", "cut"],
)
async def test_a_body_that_is_turned_away_is_held_to_the_same_bounds(body: bytes, status: int) -> None:
    headers = {"content-encoding": "gzip"}

    response = await send(ScriptedService(is_full=True), "/v1/infer", content=body, headers=headers)

    assert response.status_code == status


@pytest.mark.parametrize("step", [1, 7, PIECE])
@pytest.mark.parametrize("compress", [zlib.compress, bare])
def test_however_a_body_is_cut_on_its_way_it_is_inflated_to_the_same(
    step: int, compress: Callable[[bytes], bytes]
) -> None:
    limits = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
    body, inflater = BODY + b" " * (3 * PIECE), Inflater("deflate", limits)
    sent = compress(body)

    read = b"".join(piece for at in range(0, len(sent), step) for piece in inflater.feed(sent[at : at + step]))
    inflater.end()

    assert read == body


async def test_a_byte_order_mark_is_no_part_of_a_body() -> None:
    service = ScriptedService()

    response = await send(service, "/v1/infer", content=b"\xef\xbb\xbf" + BODY)
    broken = await send(service, "/v1/infer", content=b"\xef\xbb\xbf{")
    many = await send(service, "/v1/infer", content=b"\xef\xbb\xbf" * (LIMIT // 3))

    assert (response.status_code, service.asked[0].text) == (200, "Hi")
    assert (broken.status_code, many.status_code) == (400, 400)
