"""Dialects of form: types, encodings, characters, heartbeats, and where the parts of an answer stand."""

import json
import zlib

import brotli
from backports import zstd

from tests.upstream.dialect import (
    BEGUN,
    DONE,
    END,
    PLAIN,
    REST,
    SAID,
    Dialect,
    choice,
    chunk,
    completion,
    event,
    gzipped,
    raw_deflated,
    whole,
)
from tests.upstream.exchange import TEXT
from tests.upstream.voices import USAGE

JSON = whole({"role": "assistant", "content": TEXT})
PRETTY = (json.dumps(completion({"content": TEXT}), indent=2).encode(),)
STREAM = b"".join(PLAIN)
NDJSON = tuple(piece.removeprefix(b"data: ").removesuffix(b"\n") for piece in PLAIN[:-1])
HEARTBEATS = (
    b": OPENROUTER PROCESSING\n\n",
    b":\n\n",
    b"data:\n\n",
    b"data: \n\n",
    b"event: ping\ndata: {}\n\n",
    b"event: ping\ndata: 2026-01-01\n\n",
    b"data: {}\n\n",
    event({"type": "ping"}),
    event({"choices": []}),
    event({"object": "keepalive", "choices": []}),
    b"id: 7\nretry: 3000\n\n",
    b"\n\n\n",
    b"\x00\x00\n\n",
)
SMILE = "\N{GRINNING FACE}"
SMILES = json.dumps(SMILE).strip('"').encode()  # a surrogate pair, as JSON writes it
HALF, OTHER_HALF = SMILES[:6], SMILES[6:]


def said(content: bytes) -> bytes:
    """An event with a content that JSON's encoder would not write."""
    return b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % content


def thought(*contents: str) -> tuple[bytes, ...]:
    return (*(chunk({"content": content}) for content in contents), *END)


def written(text: str, codec: str, charset: str = "", says: str | None = None, pieces: int = 1) -> Dialect:
    """An answer of `text` that is written in `codec`, in pieces of as many bytes, and whose head names `charset`."""
    stream = b"".join([said(text.encode()), chunk({"content": " And more."}), *END]).decode().encode(codec)
    cut = tuple(stream[place : place + pieces] for place in range(0, len(stream), pieces))
    announced = f"text/event-stream; charset={charset}" if charset else "text/event-stream"
    return Dialect(cut, f"{text if says is None else says} And more.", content_type=announced)


WRAPPED = {"code": 0, "message": "success", "request_id": "1"}
CHINESE, FRENCH, KOREAN = "\u8054\u901a\u3001\u4f60\u597d", "D\u00e9j\u00e0 vu \u20ac", "\uc548\ub155"

FORM = {
    **{f"status-{status}": Dialect(JSON, status=status) for status in (201, 202, 203, 206)},
    "status-201-streamed": Dialect(PLAIN, status=201),
    "utf-16": written(CHINESE, "utf-16", pieces=1),
    "utf-16-without-a-mark": written(FRENCH, "utf-16-le", pieces=40),
    "utf-16-that-is-announced": written(FRENCH, "utf-16-be", "utf-16", pieces=3),
    "utf-32": written(CHINESE, "utf-32", pieces=7),
    "utf-32-without-a-mark": written(FRENCH, "utf-32-be", pieces=1),
    "zeros-before-a-stream": Dialect((bytes(3), *PLAIN)),
    "charset-gbk": written(CHINESE, "gbk", "GBK", pieces=1),
    "charset-gb2312": written(CHINESE, "gb2312", "gb2312", pieces=1000),
    "charset-shift-jis": written("\u8868\u793a", "shift_jis", "Shift_JIS", pieces=1),
    "charset-euc-kr": written(KOREAN, "euc-kr", "euc-kr", pieces=50),
    "charset-latin-1": written(FRENCH, "cp1252", "iso-8859-1", pieces=1),
    "charset-gbk-that-is-utf-8": written(CHINESE, "utf-8", "gbk", pieces=1),
    "charset-latin-1-that-is-utf-8": written(FRENCH, "utf-8", "ISO-8859-1", pieces=1),
    "charset-that-nobody-knows": written(FRENCH, "utf-8", "zip", pieces=1000),
    "wrapped": Dialect((json.dumps({**WRAPPED, "data": completion({"content": TEXT})}).encode(),)),
    "wrapped-in-each-event": Dialect(
        tuple(
            event({**WRAPPED, "output": {"choices": [choice({"content": text}, end)]}, "usage": USAGE})
            for text, end in ((BEGUN, None), (REST, "stop"))
        )
    ),
    "wrapped-and-an-error": Dialect(
        (json.dumps({"data": completion({"content": TEXT}), "error": {"message": "Died."}}).encode(),),
        "",
        ends="Failed",
    ),
    "json-as-text": Dialect(JSON, content_type="text/plain"),
    "json-as-events": Dialect(JSON),
    "json-on-several-lines": Dialect(PRETTY, content_type="application/json"),
    "json-with-a-mark": Dialect((b"\xef\xbb\xbf", *JSON), content_type="application/json"),
    "events-as-json": Dialect(PLAIN, content_type="application/json"),
    "events-as-bytes": Dialect(PLAIN, content_type="application/octet-stream"),
    "events-as-text-with-a-mark": Dialect((b"\xef\xbb\xbf" + STREAM,), content_type="text/plain"),
    "objects-a-line": Dialect(NDJSON, content_type="application/x-ndjson"),
    "list-of-chunks": Dialect((b"[" + b",\n".join(piece.strip() for piece in NDJSON) + b"]",)),
    "gzip": Dialect((gzipped(STREAM),), encoding="gzip"),
    "gzip-in-pieces": Dialect(tuple(bytes([byte]) for byte in gzipped(JSON[0])), encoding="gzip"),
    "gzip-without-a-word": Dialect((gzipped(STREAM),)),
    "deflate": Dialect((zlib.compress(STREAM),), encoding="deflate"),
    "deflate-without-its-header": Dialect((raw_deflated(STREAM),), encoding="deflate"),
    "gzip-announced-and-not-done": Dialect(PLAIN, encoding="gzip"),
    "brotli": Dialect((brotli.compress(STREAM),), encoding="br"),
    "brotli-in-pieces": Dialect(tuple(bytes([byte]) for byte in brotli.compress(STREAM)), encoding="br"),
    "brotli-announced-and-not-done": Dialect(PLAIN, encoding="br"),
    "brotli-that-is-broken": Dialect((b"\x9c\xff\xff\xff\x24",), "", ends="Failed", encoding="br"),
    "zstandard": Dialect((zstd.compress(STREAM),), encoding="zstd"),
    "zstandard-without-a-word": Dialect(tuple(bytes([byte]) for byte in zstd.compress(STREAM))),
    "zstandard-that-is-broken": Dialect((b"\x28\xb5\x2f\xfd\x04\x58\xff\xff\xff\xff",), "", ends="Failed"),
    "gzip-in-members": Dialect((b"".join(gzipped(piece) for piece in PLAIN),), encoding="gzip"),
    "gzip-in-members-in-pieces": Dialect(
        tuple(bytes([byte]) for piece in PLAIN for byte in gzipped(piece)), encoding="gzip"
    ),
    "gzip-with-padding": Dialect((gzipped(STREAM) + bytes(16),), encoding="gzip"),
    "zstandard-in-frames": Dialect((b"".join(zstd.compress(piece) for piece in PLAIN),), encoding="zstd"),
    "zstandard-in-frames-in-pieces": Dialect(
        tuple(bytes([byte]) for piece in PLAIN for byte in zstd.compress(piece)), encoding="zstd"
    ),
    "lines-that-end-otherwise": Dialect((STREAM.replace(b"\n", b"\r\n"),)),
    "no-space-behind-data": Dialect((STREAM.replace(b"data: ", b"data:"),)),
    "no-empty-lines": Dialect((STREAM.replace(b"\n\n", b"\n"),)),
    "event-names": Dialect(tuple(b"event: chunk\nid: 1\n" + piece for piece in PLAIN)),
    "several-objects-in-an-event": Dialect(
        (b"data: " + b"".join(piece.strip() for piece in NDJSON) + b"\n\n", DONE),
    ),
    "several-lines-of-data": Dialect((b"".join(piece.replace(b"\n\n", b"\n") for piece in PLAIN) + b"\n",)),
    "data-within-data": Dialect(tuple(b"data: " + piece for piece in PLAIN)),
    "heartbeats": Dialect((*HEARTBEATS, SAID[1], *HEARTBEATS, SAID[2], *HEARTBEATS, *END)),
    "unknown-events": Dialect((event({"status": "queued"}), event({"status": "busy"}), *PLAIN), skipped=2),
    "garbage-between-events": Dialect((SAID[1], b"data: {{{\n\n", SAID[2], *END), skipped=1),
    "bytes-that-are-no-unicode": Dialect((said(b"A \xff word"), *END), "A \ufffd word"),
    "half-a-character": Dialect((said(b"A " + HALF + b" word"), *END), "A \ufffd word"),
    "half-a-character-at-the-end": Dialect((said(b"A word " + HALF), *END), "A word \ufffd"),
    "character-cut-between-deltas": Dialect((said(b"Hi " + HALF), said(OTHER_HALF + b"!"), *END), f"Hi {SMILE}!"),
    "character-cut-between-chunks": Dialect(
        tuple(bytes([byte]) for byte in said(f"Hi {SMILE}!".encode())) + END, f"Hi {SMILE}!"
    ),
    "control-characters": Dialect((said(b"A\tword\x01\\u0000."), *END), "A\tword\x01\x00."),
    "numbers-that-are-none": Dialect((event({"choices": [choice({"content": TEXT}, logprobs=float("nan"))]}), *END)),
    "numbers-as-texts": Dialect(
        (event({"choices": [{**choice({"content": TEXT}), "index": "0"}]}), chunk({}, "stop"), DONE)
    ),
    "message-instead-of-delta": Dialect((event(completion({"content": TEXT})), DONE)),
    "messages-cumulative": Dialect(
        (
            *(event(completion({"content": text}, None, None)) for text in (BEGUN, TEXT)),
            event(completion({"content": TEXT})),
            DONE,
        )
    ),
    "message-behind-the-deltas": Dialect((*SAID, event(completion({"content": TEXT})), DONE)),
    "message-beside-the-deltas": Dialect(
        (
            chunk({"content": BEGUN}, message={"content": BEGUN}),
            chunk({"content": REST}, message={"content": TEXT}),
            *END,
        )
    ),
    "text-instead-of-delta": Dialect(
        (*(event({"choices": [{"index": 0, "text": text}]}) for text in (BEGUN, REST)), *END)
    ),
    "text-instead-of-message": Dialect(
        (json.dumps({"choices": [{"text": TEXT, "finish_reason": "stop"}]}).encode(),), content_type="application/json"
    ),
    "message-that-is-a-text": Dialect(whole(TEXT), content_type="application/json"),
    "choices-that-are-one": Dialect((event({"choices": choice({"content": TEXT}, "stop")}), DONE)),
    "choices-without-index": Dialect(
        (event({"choices": [{"delta": {"content": TEXT}}]}), event({"choices": [{"finish_reason": "stop"}]}), DONE)
    ),
    "choices-from-1": Dialect((event({"choices": [{**choice({"content": TEXT}, "stop"), "index": 1}]}), DONE)),
    "content-in-parts": Dialect(
        whole({"content": [{"type": "text", "text": BEGUN}, {"type": "output_text", "text": REST}]})
    ),
    "content-in-parts-streamed": Dialect(
        (*(chunk({"content": [{"type": "text", "text": text}]}) for text in (BEGUN, REST)), *END)
    ),
    "content-in-an-object": Dialect(whole({"content": {"type": "text", "text": TEXT}})),
    "content-with-thinking-parts": Dialect(
        whole(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": TEXT},
                ]
            }
        ),
        beside={"reasoning_content": "Hm."},
    ),
    "role-in-each-delta": Dialect((*(chunk({"role": "assistant", "content": text}) for text in (BEGUN, REST)), *END)),
    "usage-without-choices": Dialect((*SAID, chunk({}, "stop"), event({"usage": USAGE}), DONE)),
    "reasoning-apart": Dialect(
        (*(chunk({"reasoning_content": text}) for text in ("Let me ", "see.")), *PLAIN),
        beside={"reasoning_content": "Let me see."},
    ),
    "reasoning-in-details": Dialect(
        (
            *(
                chunk({"reasoning": text, "reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]})
                for text in ("Let me ", "see.")
            ),
            *PLAIN,
        ),
        beside={
            "reasoning": "Let me see.",
            "reasoning_details": [{"type": "reasoning.text", "text": "Let me see.", "index": 0}],
        },
    ),
    "thinking-in-the-text": Dialect(
        thought("<thi", "nk>Let me ", "see.</th", "ink>\n\n", BEGUN, REST), beside={"reasoning_content": "Let me see."}
    ),
    "thinking-in-the-text-whole": Dialect(
        whole({"content": f"<think>\nHm.\n</think>\n\n{TEXT}"}), beside={"reasoning_content": "\nHm.\n"}
    ),
    "thinking-in-the-text-of-seed": Dialect(
        thought("<seed:", "think>Let me ", "see.</seed:think", ">\n", BEGUN, REST),
        beside={"reasoning_content": "Let me see."},
    ),
    "thinking-in-the-text-of-reka": Dialect(
        whole({"content": f"<reasoning>Hm.</reasoning>\n\n{TEXT}"}), beside={"reasoning_content": "Hm."}
    ),
    "thinking-that-was-asked-for": Dialect(thought("<thinking>Hm.</thinking>"), "<thinking>Hm.</thinking>"),
    "thinking-tag-that-is-left": Dialect(
        whole({"reasoning_content": "Hm.", "content": f"<think>{TEXT}"}), beside={"reasoning_content": "Hm."}
    ),
    "thinking-and-nothing-else": Dialect(thought("<think>Let me see.", "</think>"), "", ends="Blank"),
    "thinking-without-end": Dialect(thought("<think>Let me see."), "", ends="Blank"),
    "refusal-behind-a-content": Dialect(
        (
            chunk({"content": "Hello there."}),
            *(chunk({"refusal": piece}) for piece in ("I", " ", "can't.")),
            chunk({}, "stop"),
            DONE,
        ),
        "Hello there.\n\nI can't.",
        ends="content_filter",
    ),
    "refusal-beside-a-content": Dialect(
        whole({"content": "Hello there.", "refusal": "I can't."}), "Hello there.\n\nI can't.", ends="content_filter"
    ),
    "message-behind-the-deltas-stripped": Dialect(
        (
            *(chunk({"content": piece}) for piece in (" Paris", " is it.\n")),
            event({"choices": [{"index": 0, "message": {"content": "Paris is it."}, "finish_reason": "stop"}]}),
            DONE,
        ),
        " Paris is it.\n",
    ),
    "refusal-in-a-part": Dialect(
        whole({"content": [{"type": "refusal", "refusal": "No."}]}), "No.", ends="content_filter"
    ),
}
