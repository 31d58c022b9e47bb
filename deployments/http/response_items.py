"""The output items of OpenAI's Responses: an answer's reasoning, its text, and its tool calls.

an answer's                  is in an item
reasoning                    `reasoning`: as it was thought, or as its summary where the caller asks for one
text                         `message`, with one part `output_text`
refusal of a demanded form   `message`, with one part `refusal`
tool calls                   `function_call` or `custom_tool_call`, one for each

The id of an item begins with what it is and has the key of its response in it, so that an id leads to the response.
"""

import re
from collections.abc import Mapping
from typing import Any

from deployments.policy.extras import Extras
from deployments.request.items import REASONING_IDS

_SORT = re.compile(r"[a-z]{2,4}_", re.ASCII)
_OF_FILES = frozenset({"file_citation", "container_file_citation", "file_path"})
_CITATION = {"start_index": int, "end_index": int, "url": str, "title": str}


def item_id(sort: str, key: str, number: int = 0) -> str:
    """Return the id of an item of the response with this key; `number` is its place among those of its `sort`."""
    return f"{sort}_{key}_{number}" if number else f"{sort}_{key}"


def named_by_us(item: Mapping[str, Any], key: str, number: int) -> dict[str, Any]:
    """Return an item of another service's under an id of ours; reasoning is sealed under its own."""
    kind, name = item.get("type"), item.get("id")
    if kind == "reasoning" and isinstance(name, str) and name:
        return dict(item)
    sort = REASONING_IDS if kind == "reasoning" else "item_"
    if isinstance(name, str) and (found := _SORT.match(name)):
        sort = found[0]
    return {**item, "id": item_id(sort.removesuffix("_"), key, number)}


def thoughts_in(item: Mapping[str, Any], *, summary: bool) -> list[str]:
    """Return the texts of an item of reasoning: of its summary, or as it was thought."""
    told = item.get("summary" if summary else "content")
    texts = [part.get("text") for part in (told if isinstance(told, list) else ()) if isinstance(part, Mapping)]
    return [text for text in texts if isinstance(text, str) and text]


def reasoning_item(key: str, text: str, *, summary: bool, status: str = "completed") -> dict[str, Any]:
    """Return the item of the reasoning; an empty text is one that has just begun."""
    thought: dict[str, Any] = {"content": [], "summary": []}
    if text and summary:
        thought["summary"] = [{"type": "summary_text", "text": text}]
    elif text:
        thought["content"] = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": item_id(REASONING_IDS.removesuffix("_"), key), **thought, "status": status}


def text_part(text: str, extras: Extras) -> dict[str, Any]:
    """Return the part of a text, with the citations and the log probabilities that came beside it."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations_of(extras),
        "logprobs": logprobs_of(extras),
    }


def refusal_part(text: str) -> dict[str, Any]:
    """Return the part of a refusal."""
    return {"type": "refusal", "refusal": text}


def message_item(key: str, number: int, part: Mapping[str, Any] | None, status: str) -> dict[str, Any]:
    """Return the item of the text; without a part it has just begun."""
    content = [] if part is None else [part]
    return {
        "type": "message",
        "id": item_id("msg", key, number),
        "role": "assistant",
        "content": content,
        "status": status,
    }


def call_item(key: str, number: int, call: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the item of a tool call, whole, and the field of it that holds what the tool is given."""
    if isinstance(acted_upon := call.get("item"), Mapping):  # as its model wrote it: there is no field of its own
        return named_by_us(acted_upon, key, number), ""
    is_custom = call.get("type") == "custom"
    sort, field = ("custom", "input") if is_custom else ("function", "arguments")
    called: Mapping[str, Any] = call.get(sort) or {}
    item = {
        "type": "custom_tool_call" if is_custom else "function_call",
        "id": item_id("ctc" if is_custom else "fc", key, number),
        "call_id": call.get("id") or item_id("call", key, number),
        "name": called.get("name", ""),
        field: called.get(field) or ("" if is_custom else "{}"),
        "status": "completed",
    }
    return item, field


def annotations_of(extras: Extras) -> list[dict[str, Any]]:
    """Return the citations of a chat's message that can be told as annotations."""
    told = extras.message.get("annotations")
    return [cited for each in told if (cited := _cited(each))] if isinstance(told, list) else []


def has_annotations_only(extras: Extras) -> bool:
    """Return whether all annotations of a message are among its citations."""
    told = extras.message.get("annotations")
    return isinstance(told, list) and len(annotations_of(extras)) == len(told)


def _cited(annotation: Any) -> dict[str, Any]:
    match annotation:
        case {"type": "url_citation", "url_citation": {**cited}} if all(
            isinstance(cited.get(name), sort) for name, sort in _CITATION.items()
        ):
            return {"type": "url_citation", **{name: cited[name] for name in _CITATION}}
        case {"type": str(kind)} if kind in _OF_FILES:  # they are told in this format only
            return dict(annotation)
        case _:
            return {}


def logprobs_of(extras: Extras) -> list[dict[str, Any]]:
    """Return the log probabilities of a chat's choice as those of a text; none where they cannot be read."""
    logprobs = extras.choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not all(map(_is_logprob, content)):
        return []
    return [
        {
            **_logprob(each),
            "top_logprobs": [_logprob(top) for top in each.get("top_logprobs") or () if _is_logprob(top)],
        }
        for each in content
    ]


def _is_logprob(told: Any) -> bool:
    return (
        isinstance(told, Mapping)
        and isinstance(told.get("token"), str)
        and isinstance(told.get("logprob"), (int, float))
    )


def _logprob(told: Mapping[str, Any]) -> dict[str, Any]:
    token = told["token"]
    in_bytes = told["bytes"] if isinstance(told.get("bytes"), list) else list(token.encode(errors="replace"))
    return {"token": token, "bytes": in_bytes, "logprob": told["logprob"]}
