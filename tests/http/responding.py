"""Requests for OpenAI's Responses, and what comes back: what the tests of that format share."""

from typing import Any

from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from tests.http.service import ScriptedService, an_answer
from tests.http.wire import CALL, events, send

RESPONSES = "/v1/responses"
HI: dict[str, Any] = {"input": "Hi"}
REASONING = Extras(message={"reasoning_content": "hm"})
CALLING = an_answer({"tool_calls": [CALL]}, tool_calls=(CALL,), finish_reason="tool_calls")
LOOK = {"type": "function", "name": "look"}
FORCING: dict[str, Any] = {"tools": [LOOK], "tool_choice": "required"}


async def respond(answer: Answer, **body: Any) -> dict[str, Any]:
    told: dict[str, Any] = (await send(ScriptedService(answer), RESPONSES, HI | body)).json()
    return told


async def stream(service: ScriptedService, **body: Any) -> list[tuple[str, Any]]:
    """The events of a stream, whose numbers have no gap."""
    read = events(await send(service, RESPONSES, HI | {"stream": True} | body))
    assert [name for name, _ in read] == [data["type"] for _, data in read]
    assert [data["sequence_number"] for _, data in read] == list(range(len(read)))
    return read


def built(read: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The items of a stream, which are those of its last event: one is open at a time, each at the next index."""
    items: list[dict[str, Any]] = []
    pieces, is_open = "", False
    for name, data in read[2:-1]:
        if name == "response.output_item.added":
            assert (is_open, data["output_index"], data["item"]["status"]) == (False, len(items), "in_progress")
            opened, pieces, is_open = data["item"]["id"], "", True
            continue
        assert (is_open, data["output_index"]) == (True, len(items))
        assert data.get("item_id", opened) == opened
        if name.endswith(".delta"):
            pieces += data["delta"]
        elif name == "response.output_item.done":
            assert data["item"]["id"] == opened
            items.append(data["item"])
            is_open = False
        elif name.endswith(".done") and "part" not in data:
            assert pieces in data.values()
    assert not is_open
    assert read[-1][1]["response"]["output"] == items
    return items


def names(read: list[tuple[str, Any]]) -> list[str]:
    return [name.removeprefix("response.") for name, _ in read]
