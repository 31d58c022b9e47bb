"""Reads the events of a response, and whole responses, as the chunks and completions of OpenAI's chats.

    response.output_item.added                   of a call: its id and its name
    response.output_text.delta                   text
    response.refusal.delta                       a refusal
    response.reasoning_text.delta, …_summary_…   reasoning
    response.function_call_arguments.delta       a piece of the arguments of a call
    response.output_item.done                    what of an item came in no delta; encrypted reasoning, whole: it has to
                                                 come back (`reasoning_items`); other items (`items`); citations
    response.completed, .incomplete              the finish reason, the token counts, the end
    response.failed, error                       the error
    anything else of an item                     a sign of life: a tool that the provider runs is at work
    anything else                                nothing: new events may be added at any time

Texts of several messages are one, with an empty line between them. A caller of this format gets what has no place in a
chat as it was written: of a stream item by item (`OUTPUT_ITEMS`), of a whole response all items (`WRITTEN_OUTPUT`). For
such a caller an item that it has to act upon is a call, with the item beside it (`item`).
"""

from collections.abc import Mapping
from typing import Any

from deployments.policy.extras import OUTPUT_ITEMS, WRITTEN_OUTPUT, is_flat, join_pieces
from deployments.upstream.contents import to_count
from deployments.upstream.responses.items import FOR_THE_CALLER, REASONING_ITEMS
from deployments.upstream.translation import AT_WORK, chunk_of, completion_of

_CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_BETWEEN = "\n\n"
_PIECES = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_ARGUMENTS = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class ResponseEvents:
    """Translates the events of one response; see `translation.Translator`."""

    def __init__(self, keeps: bool = False) -> None:  # noqa: FBT001, FBT002 - as a translator is made of its format
        """Begin before the first event; `keeps` for a caller of this format."""
        self.is_over = False
        self._keeps = keeps
        self._calls: dict[int, tuple[int, str]] = {}
        self._told: set[tuple[int, str]] = set()  # what of which item has come in deltas
        self._speaker = -1  # the item of the last text

    def read(self, value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Return what an event, or a whole response, is in chunks; `None` where it is neither."""
        kind, place = value.get("type"), to_count(value.get("output_index")) or 0
        if value.get("object") == "response":
            return [self._whole(value)]
        if not isinstance(kind, str) or not kind:
            return None
        if (key := _PIECES.get(kind)) is not None:
            return self._chunks(self._piece(place, key, value.get("delta")))
        if kind in _ARGUMENTS:
            return self._chunks(self._arguments(place, value.get("delta")))
        if kind in {"response.output_item.added", "response.output_item.done"}:
            item = value.get("item")
            item = item if isinstance(item, Mapping) else {}
            begun = self._begin(place, item)
            if kind.endswith("done"):
                return self._chunks([*begun, *self._rest(place, item)])
            return self._chunks([*begun, *self._announced(item)]) or AT_WORK
        if kind in _ENDS:
            self.is_over = True
            response = value.get("response")
            return [self._end(response if isinstance(response, Mapping) else {})]
        if kind == "response.created":
            return [chunk_of({"role": "assistant"})]
        return AT_WORK if "output_index" in value else []

    def _whole(self, response: Mapping[str, Any]) -> dict[str, Any]:
        output = response.get("output")
        deltas: list[dict[str, Any]] = []
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, Mapping):
                deltas += [*self._begin(place, item), *self._rest(place, item)]
        written = {WRITTEN_OUTPUT: output} if self._keeps and isinstance(output, list) and _has_more(output) else {}
        return {**completion_of(join_pieces(deltas), finish_reason=_reason(response)), **written, **_beside(response)}

    def _end(self, response: Mapping[str, Any]) -> dict[str, Any]:
        if response.get("error"):
            return {"error": response["error"]}
        return {**chunk_of({}, finish_reason=_reason(response)), **_beside(response)}

    def _chunks(self, deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [chunk_of(delta) for delta in deltas]

    def _piece(self, place: int, key: str, text: Any) -> list[dict[str, Any]]:
        if not isinstance(text, str) or not text:
            return []
        self._told.add((place, key))
        if key == "content":
            if self._speaker not in {-1, place}:
                text = _BETWEEN + text
            self._speaker = place
        return [{key: text}]

    def _begin(self, place: int, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Begin the call that an item is, unless it has begun."""
        kind = str(item.get("type"))
        if kind not in _CALLS or place in self._calls:
            return []
        sort, key = _CALLS[kind]
        number = len(self._calls)
        self._calls[place] = number, kind
        called = {"name": item.get("name"), key: ""}
        return [{"tool_calls": [{"index": number, "id": item.get("call_id"), "type": sort, sort: called}]}]

    def _arguments(self, place: int, piece: Any) -> list[dict[str, Any]]:
        if place not in self._calls or not isinstance(piece, str) or not piece:
            return []
        number, kind = self._calls[place]
        sort, key = _CALLS[kind]
        self._told.add((place, key))
        return [{"tool_calls": [{"index": number, sort: {key: piece}}]}]

    def _rest(self, place: int, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what of a whole item has come in no delta."""
        match item.get("type"):
            case "message":
                return self._message(place, item.get("content"))
            case "reasoning":
                parts = [*_parts(item.get("summary")), *_parts(item.get("content"))]
                thought = _BETWEEN.join(str(part.get("text") or "") for part in parts)
                known = (place, "reasoning_content") in self._told
                whole = [{REASONING_ITEMS: [dict(item)]}] if item.get("encrypted_content") else []
                if self._keeps:
                    whole = [{OUTPUT_ITEMS: [{"done": dict(item)}]}]
                return [*([] if known else self._piece(place, "reasoning_content", thought)), *whole]
            case str(kind) if kind in _CALLS:
                key = _CALLS[kind][1]
                return [] if (place, key) in self._told else self._arguments(place, item.get(key))
            case str(kind) if self._keeps and kind in FOR_THE_CALLER:
                return [self._to_act_upon(kind, item)]
            case _:
                return [{OUTPUT_ITEMS: [{"done": dict(item)}]}] if self._keeps else [{"items": [dict(item)]}]

    def _announced(self, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return an item that has begun, as it is told to a caller of this format."""
        kind = item.get("type")
        is_told = self._keeps and item.get("id") and kind not in {"message", *_CALLS, *FOR_THE_CALLER}
        return [{OUTPUT_ITEMS: [{"added": dict(item)}]}] if is_told else []

    def _to_act_upon(self, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        number = len(self._calls)
        self._calls[-1 - number] = number, kind  # no delta belongs to it
        beside = {"item": dict(item)} if is_flat(item) else {}
        called = {"name": kind, "input": ""}
        key = item.get("call_id") or item.get("id")
        return {"tool_calls": [{"index": number, "id": key, "type": "custom", "custom": called, **beside}]}

    def _message(self, place: int, content: Any) -> list[dict[str, Any]]:
        said = "".join(str(part.get("text") or "") for part in _parts(content) if part.get("type") == "output_text")
        cited = [_to_chat(each) for part in _parts(content) for each in _parts(part.get("annotations"))]
        refused = "".join(str(part.get("refusal") or "") for part in _parts(content) if part.get("type") == "refusal")
        return [
            *(
                delta
                for key, text in (("content", said), ("refusal", refused))
                if (place, key) not in self._told
                for delta in self._piece(place, key, text)
            ),
            *([{"annotations": cited}] if cited else []),
        ]


def _to_chat(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a citation in the form of a chat; one of another kind as it is."""
    if annotation.get("type") != "url_citation":
        return dict(annotation)
    return {"type": "url_citation", "url_citation": {key: annotation[key] for key in annotation if key != "type"}}


def _has_more(output: list[Any]) -> bool:
    """Return whether items have more than a chat has a place for: other kinds, and citations."""
    for item in output:
        kind = item.get("type") if isinstance(item, Mapping) else ""
        if kind not in {"message", *_CALLS}:
            return True
        if kind == "message" and any(part.get("annotations") for part in _parts(item.get("content"))):
            return True
    return False


def _parts(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _reason(response: Mapping[str, Any]) -> Any:
    """Return why a response ended, in the words of chats."""
    status, details = response.get("status"), response.get("incomplete_details")
    if isinstance(details, Mapping) and details.get("reason"):
        return _REASONS.get(str(details["reason"]), details["reason"])
    return "stop" if status == "completed" else status


def _beside(response: Mapping[str, Any]) -> dict[str, Any]:
    told = {"neverblank": response["neverblank"]} if isinstance(response.get("neverblank"), Mapping) else {}
    usage = response.get("usage")
    return {**told, "usage": _usage(usage)} if isinstance(usage, Mapping) else told


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return token counts under the names that they have in chats."""
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "total_tokens": "total_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens_details": "completion_tokens_details",
    }
    return {name: usage[key] for key, name in names.items() if usage.get(key) is not None}
