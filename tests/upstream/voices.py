"""The formats that the fault-injecting upstream speaks beside OpenAI's chats: what a scenario says, in their events.

A scenario says it in the deltas and the messages of chats; what it sends byte by byte stays as it is.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

USAGE = {"prompt_tokens": 7, "completion_tokens": 17, "total_tokens": 24}

Event = Mapping[str, Any]

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_COUNTS = {"input_tokens": USAGE["prompt_tokens"], "output_tokens": USAGE["completion_tokens"]}


class Voice(Protocol):
    """Speaks one format, in one response."""

    def whole(self, message: Mapping[str, Any], finish_reason: str) -> Event:
        """A whole answer."""
        ...

    def begin(self) -> Sequence[Event]:
        """The beginning of a stream."""
        ...

    def delta(self, delta: Mapping[str, Any]) -> Sequence[Event]:
        """What a delta of a chat is."""
        ...

    def end(self, finish_reason: str, *, usage: bool) -> Sequence[Event]:
        """Why it ends, and the token counts."""
        ...

    def over(self) -> Sequence[Event]:
        """The last event."""
        ...

    def error(self, status: int, message: str, code: str) -> Event:
        """The body of an error."""
        ...


class MessagesVoice:
    """Speaks Anthropic's Messages."""

    def __init__(self) -> None:
        self.open = ""
        self.place = -1
        self.refused = False

    def whole(self, message: Mapping[str, Any], finish_reason: str) -> Event:
        content = [block for kind, said in self._said(message) if (block := self._block(kind, said))]
        reason = "content_filter" if message.get("refusal") else finish_reason
        told = {"type": "message", "role": "assistant", "id": "msg_1", "model": "m", "content": content}
        return {**told, "stop_reason": _STOPS[reason], "stop_sequence": None, "usage": _COUNTS}

    def begin(self) -> Sequence[Event]:
        usage = {**_COUNTS, "output_tokens": 1}
        message = {"type": "message", "role": "assistant", "id": "msg_1", "model": "m", "content": [], "usage": usage}
        return [{"type": "message_start", "message": {**message, "stop_reason": None}}, {"type": "ping"}]

    def delta(self, delta: Mapping[str, Any]) -> Sequence[Event]:
        events: list[Event] = []
        self.refused = self.refused or bool(delta.get("refusal"))
        for kind, said in self._said(delta):
            if self.open != kind or kind == "tool_use":
                events += [*self._close(), self._start(kind, said)]
            events.append(self._piece(kind, said))
        return events

    def end(self, finish_reason: str, *, usage: bool) -> Sequence[Event]:
        reason = "content_filter" if self.refused else finish_reason
        told = {"stop_reason": _STOPS[reason], "stop_sequence": None}
        counts = {"usage": {"output_tokens": _COUNTS["output_tokens"]}} if usage else {}
        return [*self._close(), {"type": "message_delta", "delta": told, **counts}]

    def over(self) -> Sequence[Event]:
        return [{"type": "message_stop"}]

    def error(self, status: int, message: str, code: str) -> Event:
        kind = code or _KINDS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}

    def _said(self, message: Mapping[str, Any]) -> list[tuple[str, Any]]:
        said = [
            ("thinking", message.get("reasoning_content")),
            ("text", message.get("content") or message.get("refusal")),
            *(("tool_use", call) for call in message.get("tool_calls") or ()),
        ]
        return [(kind, each) for kind, each in said if each]

    def _block(self, kind: str, said: Any) -> dict[str, Any]:
        if kind == "tool_use":
            called = said.get("function", {})
            arguments = called.get("arguments") or "{}"
            given = json.loads(arguments) if arguments.endswith("}") else {}  # of a call that was cut, there is nothing
            return {"type": kind, "id": said.get("id"), "name": called.get("name"), "input": given}
        return {"type": kind, kind: said, **({"signature": "signed"} if kind == "thinking" else {})}

    def _start(self, kind: str, said: Any) -> Event:
        self.open = kind
        self.place += 1
        block: dict[str, Any] = {"type": kind, kind: ""}
        if kind == "tool_use":
            block = {"type": kind, "id": said.get("id"), "name": said.get("function", {}).get("name"), "input": {}}
        return {"type": "content_block_start", "index": self.place, "content_block": block}

    def _piece(self, kind: str, said: Any) -> Event:
        match kind:
            case "tool_use":
                arguments = said.get("function", {}).get("arguments", "")
                delta = {"type": "input_json_delta", "partial_json": arguments}
            case "thinking":
                delta = {"type": "thinking_delta", "thinking": said}
            case _:
                delta = {"type": "text_delta", "text": said}
        return {"type": "content_block_delta", "index": self.place, "delta": delta}

    def _close(self) -> list[Event]:
        if not self.open:
            return []
        signed = {"type": "signature_delta", "signature": "signed"}
        events: list[Event] = []
        if self.open == "thinking":
            events.append({"type": "content_block_delta", "index": self.place, "delta": signed})
        self.open = ""
        return [*events, {"type": "content_block_stop", "index": self.place}]


class ResponsesVoice:
    """Speaks OpenAI's Responses."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.response: dict[str, Any] = {}

    def whole(self, message: Mapping[str, Any], finish_reason: str) -> Event:
        self.delta(message)
        return self._response(finish_reason)

    def begin(self) -> Sequence[Event]:
        begun = {"object": "response", "id": "resp_1", "status": "in_progress", "output": []}
        return [{"type": name, "response": begun} for name in ("response.created", "response.in_progress")]

    def delta(self, delta: Mapping[str, Any]) -> Sequence[Event]:
        events: list[Event] = []
        if thought := delta.get("reasoning_content"):
            item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": thought}]}
            events += self._item(item)
            events.append(self._piece("response.reasoning_summary_text.delta", thought))
        if said := delta.get("content"):
            if not self.items or self.items[-1]["type"] != "message":
                part = {"type": "output_text", "text": "", "annotations": []}
                events += self._item({"type": "message", "role": "assistant", "content": [part]})
            self.items[-1]["content"][0]["text"] += said
            events.append(self._piece("response.output_text.delta", said))
        if refused := delta.get("refusal"):
            part = {"type": "refusal", "refusal": refused}
            events += self._item({"type": "message", "role": "assistant", "content": [part]})
            events.append(self._piece("response.refusal.delta", refused))
        for call in delta.get("tool_calls") or ():
            called = {"name": None, "arguments": "", **call.get("function", {})}
            item = {"type": "function_call", "call_id": call.get("id"), **called}
            events += self._item(item)
            events.append(self._piece("response.function_call_arguments.delta", called["arguments"]))
        return events

    def end(self, finish_reason: str, *, usage: bool) -> Sequence[Event]:
        done = [
            {"type": "response.output_item.done", "output_index": place, "item": item}
            for place, item in enumerate(self.items)
        ]
        self.response = self._response(finish_reason, usage=usage)
        return [*done, {"type": f"response.{self.response['status']}", "response": self.response}]

    def over(self) -> Sequence[Event]:
        return []

    def error(self, status: int, message: str, code: str) -> Event:
        return {"error": {"message": message, "type": "error", "param": None, "code": code or None}}

    def _item(self, item: dict[str, Any]) -> list[Event]:
        self.items.append(item)
        begun = {**item, "content": []} if item["type"] == "message" else {**item, "arguments": ""}
        return [{"type": "response.output_item.added", "output_index": len(self.items) - 1, "item": begun}]

    def _piece(self, kind: str, delta: str) -> Event:
        return {"type": kind, "output_index": len(self.items) - 1, "content_index": 0, "delta": delta}

    def _response(self, finish_reason: str, *, usage: bool = True) -> dict[str, Any]:
        told: dict[str, Any] = {
            "object": "response",
            "id": "resp_1",
            "status": "completed",
            "error": None,
            "output": self.items,
        }
        if (reason := _INCOMPLETE.get(finish_reason)) is not None:
            told |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
        return {**told, "usage": {**_COUNTS, "total_tokens": USAGE["total_tokens"]} if usage else None}


_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
