"""What is missing in a response, of whatever format: an end, or the words of an answer or of an error."""

import json
from collections import defaultdict
from typing import Any

from deployments.policy.blank import is_blank
from tests.http.wire import parse_events

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


def missing(path: str, status: int, content_type: str, body: bytes) -> str:
    """Say what a response has not that was asked for at `path`; empty where it has all.

    Args:
        path: of the request, without a query.
        status: of the response.
        content_type: the header of the response.
        body: all of its bytes.
    """
    if not body:
        return "no body"
    if "text/event-stream" in content_type:
        return _missing_in_stream(path, body)
    return _missing_in_body(json.loads(body), status)


def _missing_in_body(body: dict[str, Any], status: int) -> str:
    if status >= 400 and "error" in body:
        has = not is_blank(body["error"]["message"]) and not is_blank(body.get("result", "nothing is owed"))
    elif body.get("type") == "message":
        has = all(not is_blank(block.get("text", block.get("name"))) for block in body["content"] or [{}])
    elif body.get("object") == "response":
        return _missing_in_output(body)
    elif "choices" in body:
        messages = [choice.get("message", {"content": choice.get("text")}) for choice in body["choices"] or [{}]]
        has = all(not is_blank(_said(message)) for message in messages)
    else:
        has = not is_blank(body.get("result", body))
    return "" if has else "words"


def _missing_in_output(response: dict[str, Any]) -> str:
    if response["status"] == "failed":
        return "" if not is_blank(response["error"]["message"]) else "words"
    said = [part for item in response["output"] for part in item.get("content", [item])]
    has = any(not is_blank(part.get("text", part.get("refusal", part.get("name")))) for part in said)
    return "" if has else "words"


def _said(message: dict[str, Any]) -> list[Any]:
    """What a message says; the name of what it calls counts."""
    calls = [call.get("function", {}).get("name") for call in message.get("tool_calls") or ()]
    return [message.get("content"), message.get("refusal"), *calls]


def _missing_in_stream(path: str, body: bytes) -> str:
    if not body.endswith(b"\n\n"):
        return "the end of the last event"
    read = parse_events(body.decode())
    if not read:
        return "events"
    name, last = read[-1]
    if path.startswith("/v1/messages"):
        blocks = [data for _, data in read if data["type"].startswith("content_block_") or data["type"] == "error"]
        if name not in {"message_stop", "error"}:
            return "message_stop"
        return "" if any(_has_block_words(block) for block in blocks) else "words"
    if path == "/v1/responses":
        if name not in ENDS:
            return "response.completed"
        deltas = [data["delta"] for event, data in read if event.endswith(".delta")]
        if name != "response.failed" and is_blank(deltas):
            return "words in its deltas"
        return _missing_in_output(last["response"])
    if path.startswith("/v1/infer"):
        if name == "error":
            return "" if not is_blank(last["error"]["message"]) else "words"
        return "" if name == "done" and last["finish_reason"] and not is_blank(last["result"]) else "a result"
    return _missing_in_chunks([data for _, data in read])


def _has_block_words(data: dict[str, Any]) -> bool:
    if data["type"] == "error":
        return not is_blank(data["error"]["message"])
    said = data.get("delta", data.get("content_block", {}))
    return not is_blank([said.get("text"), said.get("name")])


def _missing_in_chunks(chunks: list[Any]) -> str:
    if chunks[-1] != "[DONE]":
        return "[DONE]"
    failed = [chunk for chunk in chunks[:-1] if "error" in chunk]
    if failed:
        return "" if not is_blank(failed[-1]["error"]["message"]) else "words"
    said: dict[int, list[Any]] = defaultdict(list)
    reasons: dict[int, list[str]] = defaultdict(list)
    for choice in (choice for chunk in chunks[:-1] for choice in chunk["choices"]):
        said[choice["index"]] += _said(choice.get("delta", {"content": choice.get("text")}))
        reasons[choice["index"]] += [choice["finish_reason"]] if choice.get("finish_reason") else []
    if not said or any(is_blank(texts) for texts in said.values()):
        return "words"
    return "" if all(len(each) == 1 for each in reasons.values()) else f"one finish_reason for each choice: {reasons}"
