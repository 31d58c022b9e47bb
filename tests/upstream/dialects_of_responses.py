"""Dialects of OpenAI's Responses: what its API and servers of its format really send, and what some do not take."""

import json
from typing import Any

from tests.upstream.dialect import BEGUN, HERE, LISTEN, LOOK, PLAIN, REST, Dialect
from tests.upstream.exchange import TEXT, Exchange
from tests.upstream.scenarios import Scenario, healthy

WITHHELD = "The model's content filter has withheld this answer."
COUNTS = {"input_tokens": 7, "output_tokens": 17, "total_tokens": 24}
SEALED = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "c2VhbGVk",
}
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "fox", "queries": ["fox"]},
}
CODE = {
    "type": "code_interpreter_call",
    "id": "ci_1",
    "status": "completed",
    "container_id": "c",
    "code": "1",
    "outputs": [],
}
CLICK = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "call_1",
    "status": "completed",
    "pending_safety_checks": [],
    "action": {"type": "click", "button": "left", "x": 1, "y": 2},
}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://fox.example", "title": "Fox"}
OF_CHATS = {"type": "url_citation", "url_citation": {key: CITED[key] for key in CITED if key != "type"}}


def told(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 1, **fields})}\n\n".encode()


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"object": "response", "id": "resp_1", "status": status, "error": None, "output": output} | {
        "usage": COUNTS,
        **more,
    }


def whole(*output: Any, **more: Any) -> tuple[bytes, ...]:
    return (json.dumps(response(*output, **more)).encode(),)


def message(*texts: str, cited: tuple[Any, ...] = ()) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": [*cited]} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts}


def called(key: str, name: str, arguments: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{key}",
        "call_id": key,
        "name": name,
        "arguments": json.dumps(arguments),
    }


def added(place: int, item: Any) -> bytes:
    begun: dict[str, Any] = {"message": {"content": []}, "function_call": {"arguments": ""}}
    return told("response.output_item.added", output_index=place, item={**item, **begun.get(item["type"], {})})


def done(place: int, item: Any) -> bytes:
    return told("response.output_item.done", output_index=place, item=item)


def text(place: int, *pieces: str, cited: tuple[Any, ...] = ()) -> tuple[bytes, ...]:
    deltas = (told("response.output_text.delta", output_index=place, delta=piece) for piece in pieces)
    item = message("".join(pieces), cited=cited)
    return (added(place, item), told("response.content_part.added", output_index=place), *deltas, done(place, item))


def arguments(place: int, *pieces: str) -> tuple[bytes, ...]:
    return tuple(told("response.function_call_arguments.delta", output_index=place, delta=each) for each in pieces)


START = told("response.created", response=response(status="in_progress"))
ENDED = told("response.completed", response=response())
CUT = {"incomplete_details": {"reason": "max_output_tokens"}}
LOOKED, LISTENED = called("call_1", *LOOK), called("call_2", *LISTEN)
ERROR = {"code": "server_error", "message": "The engine died."}

RESPONSE_DIALECTS = {
    "response-streamed": Dialect((START, *text(0, BEGUN, REST), ENDED)),
    "response-whole": Dialect(whole(message(TEXT)), content_type="application/json"),
    "response-in-a-chats-form": Dialect(PLAIN),
    "response-without-deltas": Dialect((START, done(0, message(TEXT)), ENDED)),
    "response-with-events-of-later-days": Dialect((START, told("response.brand_new"), *text(0, TEXT), ENDED)),
    "response-with-reasoning": Dialect(
        (
            START,
            added(0, SEALED),
            told("response.reasoning_summary_text.delta", output_index=0, delta="Hm."),
            done(0, SEALED),
            *text(1, BEGUN, REST),
            ENDED,
        ),
        beside={"reasoning_content": "Hm.", "reasoning_items": [SEALED]},
    ),
    "response-with-reasoning-whole": Dialect(
        whole(SEALED, message(TEXT)), beside={"reasoning_content": "Hm.", "reasoning_items": [SEALED]}
    ),
    "response-of-nothing-but-reasoning": Dialect((START, done(0, SEALED), ENDED), "", ends="Blank"),
    "response-of-nothing": Dialect((START, ENDED), "", ends="Blank"),
    "response-of-nothing-whole": Dialect(whole(), "", ends="Blank"),
    "response-of-two-messages": Dialect((START, *text(0, BEGUN), *text(1, "Yes."), ENDED), f"{BEGUN}\n\nYes."),
    "response-with-a-search": Dialect((START, done(0, SEARCH), *text(1, TEXT), ENDED), beside={"items": [SEARCH]}),
    "response-with-tools-of-its-own": Dialect(
        (
            *(START, added(0, SEALED), told("response.reasoning_summary_text.delta", output_index=0, delta="Hm.")),
            *(done(0, SEALED), added(1, SEARCH), told("response.web_search_call.searching", output_index=1)),
            *(done(1, SEARCH), *text(2, BEGUN, cited=(CITED,)), added(3, CODE), done(3, CODE), *text(4, "Yes."), ENDED),
        ),
        f"{BEGUN}\n\nYes.",
        beside={
            "reasoning_content": "Hm.",
            "reasoning_items": [SEALED],
            "items": [SEARCH, CODE],
            "annotations": [OF_CHATS],
        },
    ),
    "response-with-tools-of-its-own-whole": Dialect(
        whole(SEALED, SEARCH, message(BEGUN, cited=(CITED,)), CODE, message("Yes.")),
        f"{BEGUN}\n\nYes.",
        beside={
            "reasoning_content": "Hm.",
            "reasoning_items": [SEALED],
            "items": [SEARCH, CODE],
            "annotations": [OF_CHATS],
        },
        content_type="application/json",
    ),
    "response-of-a-click": Dialect((START, added(0, CLICK), done(0, CLICK), ENDED), "", ends="Blank"),
    "response-of-a-click-whole": Dialect(whole(CLICK), "", ends="Blank", content_type="application/json"),
    "response-with-calls": Dialect(
        (
            *(START, added(0, LOOKED), *arguments(0, HERE[:5], HERE[5:]), done(0, LOOKED)),
            *(added(1, LISTENED), done(1, LISTENED), ENDED),
        ),
        "",
        calls=(LOOK, LISTEN),
        ends="tool_calls",
    ),
    "response-with-calls-whole": Dialect(
        whole(message(BEGUN), LOOKED, LISTENED), BEGUN, calls=(LOOK, LISTEN), ends="tool_calls"
    ),
    "response-with-half-a-call": Dialect(
        (
            *(START, added(0, LOOKED), *arguments(0, HERE[:5])),
            told("response.incomplete", response=response(status="incomplete", **CUT)),
        ),
        "",
        ends="Failed",
    ),
    "response-refused": Dialect(
        whole({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
        "No.",
        ends="content_filter",
    ),
    "response-filtered": Dialect(
        whole(status="incomplete", incomplete_details={"reason": "content_filter"}), WITHHELD, ends="content_filter"
    ),
    "response-incomplete": Dialect(
        (START, *text(0, BEGUN), told("response.incomplete", response=response(status="incomplete", **CUT))),
        BEGUN,
        ends="length",
    ),
    "response-failed": Dialect(
        (START, *text(0, BEGUN), told("response.failed", response=response(status="failed", error=ERROR))),
        BEGUN,
        ends="Failed",
    ),
    "response-failed-whole": Dialect(whole(status="failed", error=ERROR), "", ends="Failed"),
    "response-with-an-error": Dialect((START, *text(0, BEGUN), told("error", **ERROR)), BEGUN, ends="Failed"),
    "response-cut": Dialect((START, *text(0, BEGUN)), BEGUN, ends="Failed"),
}


def refuses(name: str, says: str) -> Scenario:
    """An upstream that answers properly unless the body, as JSON, has `name` in it."""

    async def play(exchange: Exchange) -> None:
        if name in json.dumps(exchange.body):
            await exchange.error(400, says)
        else:
            await healthy(exchange)

    return play


OF_RESPONSES: dict[str, Scenario] = {
    "responses-no-sampling": refuses("temperature", "Unsupported parameter: 'temperature' is not supported."),
    "responses-no-encryption": refuses(
        "reasoning.encrypted_content", "Encrypted content is not supported with this model."
    ),
    "responses-no-effort": refuses('"reasoning":', "Unsupported parameter: 'reasoning.effort' is not supported."),
    "responses-no-such-effort": refuses(
        '"effort": "minimal"',
        "Unsupported value: 'reasoning.effort' does not support 'minimal' with this model. Use 'low'.",
    ),
    "responses-other-account": refuses("c2VhbGVk", "The encrypted content c2Vh could not be verified."),
}
