"""Dialects of Anthropic's Messages: what its API and servers of its format really send, byte by byte."""

import json
from typing import Any

from tests.upstream.dialect import BEGUN, HERE, LISTEN, LOOK, PLAIN, REST, Dialect, whole
from tests.upstream.exchange import TEXT

WITHHELD = "The model's content filter has withheld this answer."
COUNTS = {"input_tokens": 7, "output_tokens": 17}
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
OMITTED = {"type": "thinking", "thinking": "", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "fox"}}
CITED = {"type": "web_search_result_location", "url": "https://fox.example", "title": "Fox", "cited_text": "A fox"}
CITED["encrypted_index"] = "eA=="
CITED_TEXT = {"type": "text", "text": TEXT, "citations": [CITED]}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def told(data: Any, name: str = "") -> bytes:
    """An event, under the name of its type."""
    return f"event: {name or data['type']}\ndata: {json.dumps(data)}\n\n".encode()


STARTED: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
}
START = told({"type": "message_start", "message": {**STARTED, "usage": {**COUNTS, "output_tokens": 1}}})
STOP = told({"type": "message_stop"})
PING = told({"type": "ping"})


def opened(place: int, block: Any) -> bytes:
    return told({"type": "content_block_start", "index": place, "content_block": block})


def piece(place: int, kind: str, **fields: Any) -> bytes:
    return told({"type": "content_block_delta", "index": place, "delta": {"type": kind, **fields}})


def closed(place: int) -> bytes:
    return told({"type": "content_block_stop", "index": place})


def ended(reason: Any, **more: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return told({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 17}})


def text(place: int, *pieces: str) -> tuple[bytes, ...]:
    block = opened(place, {"type": "text", "text": ""})
    return (block, PING, *(piece(place, "text_delta", text=each) for each in pieces), closed(place))


def thought(place: int, block: Any) -> tuple[bytes, ...]:
    said = [piece(place, "thinking_delta", thinking=block["thinking"])] if block["thinking"] else []
    signed = piece(place, "signature_delta", signature=block["signature"])
    return (opened(place, {"type": "thinking", "thinking": "", "signature": ""}), *said, signed, closed(place))


def called(place: int, name: str, *arguments: str, given: Any = None) -> tuple[bytes, ...]:
    block = {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": given or {}}
    return (
        opened(place, block),
        *(piece(place, "input_json_delta", partial_json=each) for each in arguments),
        closed(place),
    )


def message(*content: Any, reason: str = "end_turn", **more: Any) -> tuple[bytes, ...]:
    body = {**STARTED, "content": content, "stop_reason": reason, "stop_sequence": None, "usage": COUNTS, **more}
    return (json.dumps(body).encode(),)


SAID = text(0, BEGUN, REST)
ENDED = (ended("end_turn"), STOP)
USED = (ended("tool_use"), STOP)


def ends(reason: str, means: str, says: str = BEGUN, **more: Any) -> Dialect:
    return Dialect((START, *text(0, BEGUN), ended(reason, **more), STOP), says, ends=means)


MESSAGE_DIALECTS = {
    "message-streamed": Dialect((START, PING, *SAID, *ENDED)),
    "message-whole": Dialect(message({"type": "text", "text": TEXT}), content_type="application/json"),
    "message-without-event-names": Dialect((b"".join((START, *SAID, *ENDED)).replace(b"event: ", b"id: "),)),
    "message-in-a-chats-form": Dialect(PLAIN),
    "message-in-a-chats-form-whole": Dialect(whole({"content": TEXT})),
    "message-with-events-of-later-days": Dialect((START, *SAID, told({"type": "brand_new", "x": 1}), *ENDED)),
    "message-with-thoughts": Dialect(
        (START, *thought(0, SIGNED), *text(1, BEGUN, REST), *ENDED),
        beside={"reasoning_content": "Hm.", "thinking_blocks": [SIGNED]},
    ),
    "message-with-thoughts-whole": Dialect(
        message(SIGNED, REDACTED, {"type": "text", "text": TEXT}),
        beside={"reasoning_content": "Hm.", "thinking_blocks": [SIGNED, REDACTED]},
    ),
    "message-with-thoughts-omitted": Dialect(
        (START, *thought(0, OMITTED), *text(1, TEXT), *ENDED), beside={"thinking_blocks": [OMITTED]}
    ),
    "message-with-thoughts-redacted": Dialect(
        (START, opened(0, REDACTED), closed(0), *text(1, TEXT), *ENDED), beside={"thinking_blocks": [REDACTED]}
    ),
    "message-with-thoughts-that-nobody-signed": Dialect(
        message({"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": TEXT}),
        beside={"reasoning_content": "Hm."},
    ),
    "message-of-nothing-but-thoughts": Dialect((START, *thought(0, SIGNED), *ENDED), "", ends="Blank"),
    "message-of-nothing": Dialect((START, *ENDED), "", ends="Blank"),
    "message-of-nothing-whole": Dialect(message(), "", ends="Blank"),
    "message-of-white-space": Dialect((START, *text(0, " \n"), *ENDED), "", ends="Blank"),
    "message-of-texts-that-are-one": Dialect((START, *text(0, BEGUN), *text(1, REST), *ENDED)),
    "message-around-a-search": Dialect(
        (START, *text(0, BEGUN), opened(1, SEARCH), closed(1), opened(2, FOUND), closed(2), *text(3, "Yes."), *ENDED),
        f"{BEGUN}\n\nYes.",
        beside={"blocks": [SEARCH, FOUND]},
    ),
    "message-behind-a-search": Dialect(
        (
            *(
                START,
                *thought(0, SIGNED),
                opened(1, SEARCH | {"input": {}}),
                piece(1, "input_json_delta", partial_json=""),
            ),
            *(piece(1, "input_json_delta", partial_json='{"query": "fox"}'), closed(1), opened(2, FOUND), closed(2)),
            *(opened(3, {"type": "text", "text": "", "citations": []}), piece(3, "citations_delta", citation=CITED)),
            *(piece(3, "text_delta", text=TEXT), closed(3), ended("pause_turn"), STOP),
        ),
        ends="length",
        beside={
            "reasoning_content": "Hm.",
            "thinking_blocks": [SIGNED],
            "blocks": [SEARCH, FOUND],
            "citations": [CITED],
        },
    ),
    "message-behind-a-search-whole": Dialect(
        message(SIGNED, SEARCH, FOUND, CITED_TEXT, reason="pause_turn"),
        ends="length",
        beside={
            "reasoning_content": "Hm.",
            "thinking_blocks": [SIGNED],
            "blocks": [SEARCH, FOUND],
            "citations": [CITED],
        },
        content_type="application/json",
    ),
    "message-with-calls": Dialect(
        (START, *called(0, LOOK[0], "", HERE[:9], HERE[9:]), *called(1, LISTEN[0], json.dumps(LISTEN[1])), *USED),
        "",
        calls=(LOOK, LISTEN),
        ends="tool_calls",
    ),
    "message-with-calls-whole": Dialect(
        message(
            {"type": "text", "text": BEGUN},
            {"type": "tool_use", "id": "toolu_1", "name": LOOK[0], "input": LOOK[1]},
            {"type": "tool_use", "id": "toolu_2", "name": LISTEN[0], "input": LISTEN[1]},
            reason="tool_use",
        ),
        BEGUN,
        calls=(LOOK, LISTEN),
        ends="tool_calls",
    ),
    "message-with-a-call-without-arguments": Dialect(
        (START, *called(0, "look", ""), *USED), "", calls=(("look", {}),), ends="tool_calls"
    ),
    "message-with-a-call-that-begins-whole": Dialect(
        (START, *called(0, LOOK[0], given=LOOK[1]), *USED), "", calls=(LOOK,), ends="tool_calls"
    ),
    "message-with-half-a-call": Dialect(
        (START, *called(0, "look", HERE[:5]), ended("max_tokens"), STOP), "", ends="Failed"
    ),
    "message-that-announces-a-call": Dialect((START, *USED), "", ends="Blank"),
    "message-cut-by-max-tokens": ends("max_tokens", "length"),
    "message-that-fills-the-window": ends("model_context_window_exceeded", "length"),
    "message-that-pauses": ends("pause_turn", "length"),
    "message-ended-by-a-text": ends("stop_sequence", "stop", stop_sequence="\n"),
    "message-refused": ends("refusal", "content_filter", stop_details={"type": "refusal", "category": "bio"}),
    "message-refused-at-once": Dialect((START, ended("refusal"), STOP), WITHHELD, ends="content_filter"),
    "message-refused-whole": Dialect(message(reason="refusal"), WITHHELD, ends="content_filter"),
    "message-with-a-cache": Dialect(
        message(
            {"type": "text", "text": TEXT},
            usage={
                **COUNTS,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens_details": {"thinking_tokens": 5},
            },
        )
    ),
    "message-without-a-stop": Dialect((START, *SAID, ended("end_turn"))),
    "message-without-a-reason": Dialect((START, *SAID, STOP), TEXT, ends="Failed"),
    "message-cut": Dialect((START, *text(0, BEGUN)), BEGUN, ends="Failed"),
    "message-overloaded": Dialect((START, PING, told(OVERLOADED)), "", ends="Failed"),
    "message-overloaded-amid": Dialect((START, *text(0, BEGUN), told(OVERLOADED)), BEGUN, ends="Failed"),
    "message-with-garbage-in-it": Dialect((START, told([1], "message_delta"), *SAID, *ENDED), skipped=1),
    "message-that-goes-on-behind-its-end": Dialect((START, *SAID, *ENDED, *text(1, "And more."))),
}
